import type { CheckpointRequest, CheckpointResult } from './api';
import { defaultAgent, type Sites } from './sites';

/** Records a work tree once. */
export async function checkpoint(
  sites: Sites,
  request: CheckpointRequest,
): Promise<CheckpointResult & { readonly rulesChanged: boolean }> {
  const site = await sites.of(request.session);
  return site.writer.snapshot({
    trigger: request.trigger,
    agent: request.agent ?? defaultAgent(request.session),
    ...(request.paths === undefined ? {} : { paths: request.paths }),
    ...(request.message === undefined ? {} : { subject: request.message }),
    ...(request.turn === undefined ? {} : { turn: request.turn }),
    signal: request.signal,
  });
}
