import type { CheckpointRequest } from './api';
import { defaultAgent, type Sites } from './sites';
import type { SnapshotRequest } from './snapshotRequest';
import type { Recording } from './snapshotWriter';

/** Records a work tree once. */
export async function checkpoint(
  sites: Sites,
  request: CheckpointRequest,
  options: Pick<SnapshotRequest, 'holdBack'> = {},
): Promise<Recording> {
  const site = await sites.of(request.session);
  return site.writer.snapshot({
    trigger: request.trigger,
    agent: request.agent ?? defaultAgent(request.session),
    ...(request.paths === undefined ? {} : { paths: request.paths }),
    ...(request.message === undefined ? {} : { subject: request.message }),
    ...(request.turn === undefined ? {} : { turn: request.turn }),
    signal: request.signal,
    ...options,
  });
}
