import { BulkheadError } from '../base/errors';
import { visiblePath } from '../core/repoPath';
import type { RestorePlan, RestoreResult } from '../session/api';
import type { OptionValues } from './arguments';
import type { Command, Output } from './command';
import { usageError } from './failure';
import type { Invocation } from './invocation';
import { planJson, restoreJson } from './json';
import { checkKnown, pathsOf } from './paths';
import { counted, shortOid, type Style } from './print';

const CONSENT_HELP = [
  '--dry-run     show the plan and write nothing',
  '--only-safe   leave out what somebody else touched since, and risky files',
  '--force       write those too',
];

export const restore: Command = {
  words: ['restore'],
  usage: 'OID [--session ID] [--dry-run] [--only-safe | --force] [-- PATH…]',
  summary: 'make the work tree, or some paths of it, equal to a snapshot',
  details: [
    'The state before is kept as a snapshot; "bulkhead undo" brings it back.',
    'Refused (exit 3) when the plan holds contested or risky files and neither --only-safe nor --force is given,',
    'and for a snapshot of another session without --force.',
    '--session ID  whose work tree; default: the one around the current folder',
    ...CONSENT_HELP,
  ],
  options: ['session', 'dry-run', 'only-safe', 'force', 'agent'],
  arguments: { least: 1, most: 1, paths: true },
  async run({ invocation, options, values, paths: given }) {
    const consent = consentOf(options);
    const dryRun = options['dry-run'] === true;
    const agent = invocation.agent();
    const bulkhead = await invocation.open({ create: false });
    const session = await invocation.session(bulkhead);
    const target = await invocation.snapshot(bulkhead, values[0] ?? '');
    const paths = await pathsOf({
      given,
      workTree: session.path,
      cwd: invocation.surroundings.cwd,
    });
    await checkKnown(bulkhead, { session, trees: [target.tree], paths });
    const request = {
      session: session.id,
      target: target.oid,
      consent,
      foreign: dryRun || consent === 'all',
      ...(paths === undefined ? {} : { paths }),
      ...(agent === undefined ? {} : { agent }),
      signal: invocation.signal,
    };
    const result = dryRun
      ? { plan: await bulkhead.planRestore(request), snapshot: null, undo: null }
      : await withPlanShown(invocation, () => bulkhead.restore(request));
    return output(result, { dryRun });
  },
};

export const undo: Command = {
  words: ['undo'],
  usage: '[--session ID] [--redo] [--dry-run] [--only-safe | --force]',
  summary: 'take the last restore back; again goes one further back',
  details: [
    'Asks nothing while the work tree is as the restore left it.',
    '--session ID  whose work tree; default: the one around the current folder',
    '--redo        take the last undo back',
    ...CONSENT_HELP,
  ],
  options: ['session', 'redo', 'dry-run', 'only-safe', 'force', 'agent'],
  arguments: { least: 0, most: 0, paths: false },
  async run({ invocation, options }) {
    const consent = consentOf(options);
    const dryRun = options['dry-run'] === true;
    const agent = invocation.agent();
    const bulkhead = await invocation.open({ create: false });
    const session = await invocation.session(bulkhead);
    const result = await withPlanShown(invocation, () =>
      bulkhead.undo({
        session: session.id,
        consent,
        dryRun,
        redo: options.redo === true,
        ...(agent === undefined ? {} : { agent }),
      }),
    );
    return output(result, { dryRun });
  },
};

function consentOf(options: OptionValues): 'ask' | 'safe' | 'all' {
  const onlySafe = options['only-safe'] === true;
  if (onlySafe && options.force === true) {
    throw usageError('usage', 'Give --only-safe or --force, not both.');
  }
  return onlySafe ? 'safe' : options.force === true ? 'all' : 'ask';
}

/** A refusal for want of consent carries its plan: people see it on stderr, scripts in `error.data.plan`. */
async function withPlanShown<T>(invocation: Invocation, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof BulkheadError && error.code === 'needs-consent') {
      const plan = error.data['plan'] as RestorePlan;
      for (const { path, agent, snapshot } of plan.contested) {
        invocation.note(
          `contested ${visiblePath(path)} (${agent}${snapshot === null ? '' : `, ${shortOid(snapshot)}`})`,
        );
      }
      for (const { path, category } of plan.risky) {
        invocation.note(`risky ${visiblePath(path)} (${category})`);
      }
      throw new BulkheadError(error.kind, error.code, error.message, {
        data: { ...error.data, plan: planJson(plan) },
        cause: error,
      });
    }
    throw error;
  }
}

function output(result: RestoreResult, options: { readonly dryRun: boolean }): Output {
  return { json: restoreJson(result), text: (style) => resultText(style, result, options) };
}

function resultText(
  style: Style,
  { plan, snapshot, undo: before }: RestoreResult,
  options: { readonly dryRun: boolean },
): string {
  const contested = new Map(plan.contested.map(({ path, agent }) => [path, `touched by ${agent} since`]));
  const risky = new Map(plan.risky.map(({ path, category }) => [path, category]));
  const line = (what: string, path: RestorePlan['write'][number]): string => {
    const remarks = [contested.get(path), risky.get(path)].filter((remark) => remark !== undefined);
    return `${what}  ${visiblePath(path)}${remarks.length === 0 ? '' : style.paint('red', `  (${remarks.join(', ')})`)}`;
  };
  const lines = [
    ...plan.write.map((path) => line('write ', path)),
    ...plan.delete.map((path) => line('delete', path)),
    ...plan.keep.map(({ path, reason }) => `keep    ${visiblePath(path)}  (${reason})`),
  ];
  if (options.dryRun) {
    lines.push(
      `${counted(plan.write.length, 'file')} to write, ${String(plan.delete.length)} to delete, ${String(plan.keep.length)} kept.`,
    );
  } else if (snapshot === null) {
    lines.push('Nothing to do.');
  } else {
    lines.push(
      `${counted(plan.write.length, 'file')} written, ${String(plan.delete.length)} deleted, ${String(plan.keep.length)} kept. ` +
        `Now at ${shortOid(snapshot)}; the state before is ${shortOid(before)}.`,
    );
  }
  return lines.join('\n');
}
