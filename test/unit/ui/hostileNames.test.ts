import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { uncheckedRepoPath } from '../../../src/core/repoPath';
import { TRIGGERS } from '../../../src/core/snapshotMessage';
import type { SessionState } from '../../../src/session/api';
import {
  agentsText,
  agentText,
  contentionLine,
  fileDescription,
  fileSpoken,
  pairText,
  sessionDescription,
  sessionName,
  sessionSpoken,
  sessionTooltip,
  snapshotDescription,
  snapshotLabel,
  snapshotSpoken,
  snapshotTooltip,
} from '../../../src/ui/labels';
import { shown, withoutIcons, withoutLinks } from '../../../src/ui/safeText';
import { statusOf } from '../../../src/ui/statusText';
import { inRoot } from '../../scripts/project';
import { context, file, session, snapshot } from './fixtures';

/** Everything at once: control characters, a line break, an escape sequence, other reading directions, invisible and lone ones. */
const EVIL =
  'a\u0000b\u001b[31mc\u0085d\u009be\u202ef\u2066g\u200bh\u2060i\ufeffj\u2028k\u00adl\u{e0041}m\ud800n\u3164o\r\tp $(trash) [x](command:bulkhead.evil) **bold** <b>';
const EVIL_PATH = uncheckedRepoPath(
  Buffer.from(`folder\n${EVIL.replace('\ud800', '')}/${EVIL.replace('\ud800', '')}`).toString('latin1'),
);
/** What must not be left of it; a line break is allowed where the text has lines of its own. */
const HIDDEN = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Cf}\u3164]/u;
const { l10n } = context;

function assertVisible(texts: Readonly<Record<string, string>>, options: { readonly lines: boolean }): void {
  for (const [where, text] of Object.entries(texts)) {
    assert.doesNotMatch(options.lines ? text.replaceAll('\n', '') : text, HIDDEN, `${where}: ${JSON.stringify(text)}`);
  }
}

describe('names from agents', () => {
  const evil = session({ name: EVIL, branch: EVIL, path: `/storage/${EVIL}` });
  const save = snapshot(1, { subject: EVIL, agent: EVIL });
  const renamed = { ...file('x'), path: EVIL_PATH, oldPath: EVIL_PATH, status: 'renamed' as const };
  const nameOf = (): string => sessionName(l10n, evil);
  const contended = {
    path: EVIL_PATH,
    sessions: ['a', 'b'],
    merge: 'conflict' as const,
    pairs: [{ a: 'a', b: 'b', merge: 'conflict' as const, lines: null }],
  };

  it('hide and reorder nothing in a row, a pick, a notification or what a screen reader says', () => {
    const states: SessionState[] = ['ready', 'missing', 'damaged', 'trashed'];
    for (const state of states) {
      for (const id of ['aaaabbbbcccc', 'workspace']) {
        const facts = { session: { ...evil, id, state, reason: EVIL }, changed: 2, own: false, waiting: EVIL };
        assertVisible(
          {
            sessionName: sessionName(l10n, facts.session),
            sessionDescription: sessionDescription(context, facts),
            sessionSpoken: sessionSpoken(context, facts),
          },
          { lines: false },
        );
        assertVisible({ sessionTooltip: sessionTooltip(context, facts) }, { lines: true });
      }
    }
    for (const trigger of TRIGGERS) {
      const one = { ...save, trigger };
      assertVisible(
        {
          snapshotLabel: snapshotLabel(one),
          snapshotDescription: snapshotDescription(context, one),
          snapshotSpoken: snapshotSpoken(context, one),
        },
        { lines: false },
      );
      assertVisible({ snapshotTooltip: snapshotTooltip(context, one) }, { lines: true });
    }
    assertVisible(
      {
        agentText: agentText(l10n, EVIL),
        agentsText: agentsText([save]),
        fileDescription: fileDescription(l10n, renamed),
        fileSpoken: fileSpoken(l10n, renamed),
        contentionLine: contentionLine(l10n, contended, nameOf),
        pairText: pairText(l10n, contended.pairs[0] ?? assert.fail(), nameOf),
      },
      { lines: false },
    );
  });

  it('add no line to a tooltip', () => {
    const facts = {
      session: { ...evil, name: `a\nb`, branch: 'x\ny', path: '/p\nq' },
      changed: 1,
      own: true,
      waiting: 'z\nz',
    };
    const plain = { session: session(), changed: 1, own: true, waiting: 'z' };
    const count = (text: string): number => text.split('\n').length;
    assert.equal(count(sessionTooltip(context, facts)), count(sessionTooltip(context, plain)));
    assert.equal(count(snapshotTooltip(context, save)), count(snapshotTooltip(context, snapshot(1))));
  });

  it('draw no icon in the status bar and make it no wider', () => {
    const status = statusOf(l10n, {
      own: [sessionName(l10n, { id: 'x', name: `${EVIL} ${'long '.repeat(100)}` }), '$(sync~spin)'],
      contended: [contentionLine(l10n, contended, nameOf)],
      waiting: [{ name: nameOf(), holder: shown(EVIL) }],
    });
    const text = status?.text ?? assert.fail();
    assert.deepEqual(text.match(/\$\([^)]*\)/g), ['$(repo-clone)', '$(warning)', '$(lock)']);
    assert.ok(text.length < 125, text);
    assertVisible({ tooltip: status?.tooltip ?? '' }, { lines: true });
  });

  it('make no link in a message and no icon in a list', () => {
    assert.doesNotMatch(withoutLinks(shown(EVIL)), /\]\(/);
    assert.doesNotMatch(withoutIcons(shown(EVIL)), /\$\(/);
  });

  it('leave names alone that only need joiners', () => {
    for (const name of [
      '\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645',
      '\u{1f468}\u200d\u{1f469}\u200d\u{1f467}',
      'Caf\u00e9 \u6771\u4eac',
    ]) {
      assert.equal(sessionName(l10n, { id: 'x', name }), name);
    }
  });

  it('reach the editor through the functions that make them safe, everywhere in the code', () => {
    const folder = inRoot('src/ui');
    const sources = readdirSync(folder)
      .filter((name) => name.endsWith('.ts'))
      .map((name) => ({ name, text: readFileSync(join(folder, name), 'utf8') }));
    const using = (pattern: RegExp): string[] =>
      sources.filter(({ text }) => pattern.test(text)).map(({ name }) => name);
    assert.deepEqual(using(/show(Information|Warning|Error)Message/), ['messages.ts']);
    assert.deepEqual(using(/MarkdownString|isTrusted: true|supportHtml|supportThemeIcons/), []);
    // The subject of a finding is a path or a ref.
    assert.deepEqual(using(/\.subject\b/), ['labels.ts', 'storeReport.ts']);
    for (const { name, text } of sources.filter(({ name: source }) => source !== 'labels.ts')) {
      for (const line of text.split('\n').filter((source) => /session\.(name|branch|reason)\b/.test(source))) {
        // Compared, looked up, or the start of what a person types; an error's text passes through messages.ts.
        assert.match(
          line,
          /taken|new Map|value: session\.name|!== session\.name|session\.reason (!==|\?\?)|reason: session|const text of \[session\.reason/,
          `${name}: ${line.trim()}`,
        );
      }
    }
  });
});
