import assert from 'node:assert/strict';
import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { splitNul } from '../../src/base/bytes';
import { silentLog } from '../../src/base/log';
import { parseArguments, wantsJson } from '../../src/cli/arguments';
import { argumentsOf, commandFor } from '../../src/cli/commands';
import { parseSide } from '../../src/cli/diffCommand';
import { pathsOf } from '../../src/cli/paths';
import { limitOf } from '../../src/cli/snapshotsCommand';
import { parseCommit, writeCommit } from '../../src/core/commitObject';
import { describeHolder, formatHolder, parseHolder } from '../../src/core/holder';
import { formatIntent, type Intent, parseIntent } from '../../src/core/intent';
import { decodeLoose, encodeLoose } from '../../src/core/looseObject';
import { hashObject, isOid, isOidPrefix } from '../../src/core/objectId';
import {
  baseRef,
  claimRef,
  headRef,
  isBranchName,
  pinRef,
  recordRef,
  sessionOfShadowRef,
  shadowRef,
} from '../../src/core/refName';
import { pathBytes, pathProblem, repoPathFromBytes, repoPathFromText, visiblePath } from '../../src/core/repoPath';
import { checkSessionName, isSlug, slugOf } from '../../src/core/sessionName';
import { formatNotice, parseNotice, type SaveNotice } from '../../src/core/saveNotice';
import { formatRecord, parseRecord, repositoryPart } from '../../src/core/sessionRecord';
import { cleanSubject, formatMessage, parseMessage } from '../../src/core/snapshotMessage';
import { compareEntries, findEntry, kindOfMode, parseTree, spliceTree, writeTree } from '../../src/core/treeObject';
import { corruptObject, objectParser, sizeParser } from '../../src/git/catFile';
import { parseDiffTree } from '../../src/git/diffTree';
import { parseRefs } from '../../src/git/forEachRef';
import { diskError, endOfStderr, faultInStderr } from '../../src/git/gitError';
import type { AnswerParser } from '../../src/git/gitProcess';
import { parseGitVersion } from '../../src/git/gitVersion';
import { isPlainGitFolder, readBranches, readHead, readNestedHead, readTables } from '../../src/git/headFile';
import { readRefFile } from '../../src/git/looseRefs';
import { PackedRefs } from '../../src/git/packedRefs';
import { parseBoolean, parseConfigList } from '../../src/git/repositoryConfig';
import { parseDone } from '../../src/git/updateRef';
import { fieldsParser, OID_LINE, parsePathList, quotedLine, smudgedParser } from '../../src/git/workTreeQueries';
import { formatSeal, parseSeal } from '../../src/session/donorSeal';
import { allowedFilters, deniedFilters } from '../../src/session/filters';
import { createHost } from '../../src/session/host';
import { parseMaintenance, parseObjectCounts } from '../../src/session/maintenance';
import { parseFsck } from '../../src/session/objectScan';
import { livenessOfOwner, ownedName, parseOwnedName } from '../../src/session/ownedNames';
import { findClone, parsePointer, parseSessionFile, readSessionFile } from '../../src/session/pointer';
import { parseProcessStat } from '../../src/session/processIdentity';
import { indexFile, parseIndex } from '../../src/session/repositoryIndex';
import { parseCounts, parseLog } from '../../src/session/snapshotLogFormat';
import { parseSnapshotName } from '../../src/session/snapshotResolver';
import { readStorageOwner } from '../../src/session/storage';
import { parseGitlink, parseSubmodules } from '../../src/session/submodules';
import { parseDescription, unreadable } from '../../src/session/userRepository';
import { formatSnapshotUri, parseSnapshotUri } from '../../src/ui/snapshotUri';
import { inRoot } from '../scripts/project';
import { cleanEnvironment } from '../support/environment';
import { accepts, acceptsLater, Fuzzer } from '../support/fuzz';
import { SeededRandom } from '../support/seededRandom';
import { sample, seed } from '../support/soak';
import { temporaryFolder } from '../support/temporary';

const ROUNDS = sample(200, 5000);
const FILE_ROUNDS = sample(60, 1500);
const OID = 'c0ffee'.padEnd(40, '1');
const OTHER = 'd'.repeat(40);
const ID = 'abcdefghij23';

/** Names of parsers that have no rounds here, with the reason. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  readEffectiveConfig: 'asks git; parseConfigList reads the answer',
  readIndex: 'reads a file; parseIndex reads its text',
  readRefs: 'asks git; parseRefs reads the answer',
  readSeal: 'reads a file; parseSeal reads its text',
  parseFormatted: 'is what parseSeal and parseMaintenance begin with',
  readTextIfThere: 'reads a file, and takes its text for nothing',
};

/** Any bytes lead to a value or to an error of ours: nothing else is thrown, nothing hangs, and what was written is read again. */
describe('every parser', () => {
  let fuzzer: Fuzzer;

  before(() => {
    fuzzer = new Fuzzer(new SeededRandom(seed()));
  });

  const buffers = (...texts: string[]): Buffer[] => texts.map((text) => Buffer.from(text, 'latin1'));
  const rounds = (valid: readonly Buffer[], check: (input: Buffer) => void): void => {
    valid.forEach(check);
    for (let round = 0; round < ROUNDS; round++) {
      check(fuzzer.bytes(valid));
    }
  };
  const textRounds = (valid: readonly string[], check: (input: string) => void): void => {
    rounds(
      valid.map((text) => Buffer.from(text)),
      (bytes) => {
        check(bytes.toString('utf8'));
      },
    );
  };

  /** Fed piece by piece, as a pipe would: asks for more than it has, or takes no more than it has. */
  const feed = <T>(parse: AnswerParser<T>, input: Buffer): { readonly value: T; readonly used: number } | undefined => {
    for (let length = 0; length <= input.length;) {
      const answer = parse(input.subarray(0, length));
      if ('value' in answer) {
        assert.ok(answer.used > 0 && answer.used <= length);
        return answer;
      }
      assert.ok(answer.need > length && Number.isSafeInteger(answer.need));
      length = Math.max(answer.need, fuzzer.random.integer(length, 2 * length + 40));
    }
    return undefined;
  };

  it('of answers of warm processes', () => {
    const object = objectParser(OID);
    rounds(
      buffers(`${OID} blob 5\nhello\n`, `${OID} commit 0\n\n`, `${OID} missing\n`, `${OTHER} blob 1\nx\n`),
      (input) => {
        const answer = accepts('objectParser', input, () => feed(object, input));
        if (answer?.value !== undefined) {
          assert.equal(answer.value.oid, OID);
          assert.equal(input.toString('latin1', answer.used - 1, answer.used), '\n');
        }
        accepts('sizeParser', input, () => feed(sizeParser('refs/bulkhead/workspace'), input));
      },
    );
    const smudged = smudgedParser(OID, 'end-1');
    const blob = ' blob 5\nHELLO, there\nend-1 missing\n';
    rounds(buffers(OID + blob, OTHER + blob, `${OID} missing\nend-1 missing\n`), (input) => {
      const answer = accepts('smudgedParser', input, () => feed(smudged, input));
      if (answer !== undefined) {
        const start = input.indexOf('\n') + 1;
        assert.deepEqual(input.subarray(start, start + answer.value.length), answer.value);
        assert.equal(input.toString('latin1', start + answer.value.length, answer.used), '\nend-1 missing\n');
        assert.equal(input.toString('latin1', 0, OID.length), OID, 'it is the object that was asked for');
      }
    });
    textRounds([`fatal: loose object ${OID} (stored in /a/b) is corrupt\n`, 'error: inflate: x\n'], (input) => {
      const oid = accepts('corruptObject', input, () => corruptObject(input));
      assert.ok(oid === undefined || isOid(oid));
    });
    assert.equal(corruptObject(`error: x\nfatal: packed object ${OID} (stored in /a) is corrupt`), OID);
    assert.equal(corruptObject(7), undefined);
    rounds(buffers('start: ok\nprepare: ok\ncommit: ok\n', 'start: ok\nprepare: ok\n', 'fatal: no\n'), (input) => {
      accepts('parseDone', input, () => feed(parseDone, input));
    });
    rounds(buffers(`${OID}\n`, `${'a'.repeat(64)}\n`, 'fatal: no\n'), (input) => {
      const answer = accepts('OID_LINE', input, () => feed(OID_LINE, input));
      assert.ok(answer === undefined || isOid(answer.value));
    });
    rounds(
      buffers('.gitignore\x001\x00*.log\x00a.log\x00', '\0\0\0a.txt\0', 'a\0text\0set\0a\0eol\0crlf\0'),
      (input) => {
        for (const count of [4, 18]) {
          const answer = accepts('fieldsParser', input, () =>
            feed(
              fieldsParser(count, (fields) => fields.length),
              input,
            ),
          );
          assert.ok(answer === undefined || answer.value <= count);
        }
      },
    );
  });

  it('of lists that git prints', () => {
    rounds(
      buffers(
        `:100644 100755 ${OID} ${OTHER} M\0a.txt\0:100644 100644 ${OID} ${OID} R100\0old\0new\x001\t2\ta.txt\x000\t0\t\0old\0new\0`,
        `:000000 100644 ${OID} ${OTHER} A\0b\0-\t-\tb\0`,
      ),
      (input) => accepts('parseDiffTree', input, () => parseDiffTree(input)),
    );
    rounds(buffers('core.bare\ntrue\0core.x\0a.b\nc\nd\0', 'remote.o.url\nx\0'), (input) => {
      const config = accepts('parseConfigList', input, () => parseConfigList(input));
      for (const [key, values] of config ?? []) {
        assert.ok(values.length > 0 && !key.includes('\n'));
        parseBoolean(values[0]);
      }
    });
    rounds(buffers('a.txt\0b/c\0', '.git/x\0../y\0\xff\0'), (input) => {
      for (const path of accepts('parsePathList', input, () => parsePathList(input)) ?? []) {
        assert.equal(pathProblem(path), undefined);
      }
      const ended = input.length === 0 || input.at(-1) === 0 ? input : Buffer.concat([input, Buffer.of(0)]);
      assert.ok(Buffer.concat(splitNul(input).flatMap((part) => [part, Buffer.of(0)])).equals(ended));
    });
    textRounds([`${OID} refs/heads/main\n${OTHER} refs/bulkhead/sessions/${ID}\n`, `${OID} refs/a b\n`], (input) => {
      for (const [ref, oid] of accepts('parseRefs', input, () => parseRefs(input)) ?? []) {
        assert.ok(isOid(oid) && ref.startsWith('refs/') && !/[ \n]/.test(ref));
      }
    });
    textRounds([' 1 file changed, 2 insertions(+), 3 deletions(-)\n', ' 2 files changed\n', ''], (input) => {
      const counts = accepts('parseCounts', input, () => parseCounts(input)) ?? assert.fail('it never throws');
      assert.ok(Object.values(counts).every((count) => count >= 0));
    });
    // Gone through once, however long a number is.
    assert.deepEqual(parseCounts('0'.repeat(300_000)), { files: 0, added: 0, deleted: 0 });
    textRounds(
      [
        `\0${OID}\0${OTHER}\0\x001700000000\0Save\n\nBulkhead-Session: ${ID}\nBulkhead-Trigger: save\nBulkhead-Agent: codex\nBulkhead-Chain: 1 1 5\n\0\n 1 file changed, 2 insertions(+)\n`,
        `\0${OID}\0${OTHER}\0${OTHER} ${OID}\x00x\0foreign\0\n`,
      ],
      (input) => accepts('parseLog', input, () => parseLog(input)),
    );
    textRounds(['git version 2.39.5 (Apple Git-154)', 'git version 2.51.0.windows.1', 'git'], (input) => {
      accepts('parseGitVersion', input, () => parseGitVersion(input));
    });
    textRounds(
      ["fatal: Unable to create '/x/y.lock': File exists.\n", 'a\rb\n', 'No space left on device'],
      (input) => {
        accepts('endOfStderr', input, () => [endOfStderr(input), faultInStderr(input)]);
        assert.ok(endOfStderr(input).split('\n').length <= 6);
      },
    );
    textRounds(
      [
        `missing blob ${OID}\nbroken link from    tree ${OTHER}\n              to    blob ${OID}\n`,
        `error: ${OID}: object corrupt or missing: /x\nerror in commit ${OID}: missingEmail: x\nfatal: bad /a/b.pack\n`,
      ],
      (input) => {
        for (const format of ['sha1', 'sha256'] as const) {
          const said = accepts('parseFsck', input, () => parseFsck(input, format)) ?? assert.fail('it never throws');
          assert.ok([...said.suspects].every((oid) => isOid(oid, format) && !/^0+$/.test(oid)));
          assert.equal(said.stopped === null, !/(?:^|\n)fatal:/.test(input));
        }
      },
    );
    const counted = 'count: 3\nsize: 12\nin-pack: 0\npacks: 0\nsize-pack: 0\nprune-packable: 0\ngarbage: 0\n';
    textRounds([counted, counted.replace('3', '9'.repeat(20))], (input) => {
      const counts = accepts('parseObjectCounts', input, () => parseObjectCounts(input));
      assert.ok(Object.values(counts ?? {}).every((count) => Number.isSafeInteger(count) && count >= 0));
    });
    const described = 'false\ntrue\nsha1\nfalse\nfalse\n';
    textRounds([`${described}/r\n/r/.git\n.git\n`, 'true\nfalse\nsha256\ntrue\ntrue\n', described], (input) => {
      const description = accepts('parseDescription', input, () => parseDescription(input));
      assert.ok(description === undefined || ['sha1', 'sha256'].includes(description.format));
    });
    assert.deepEqual(parseDescription(`${described}/r\n/r/.git\n.git\n`), {
      bare: false,
      insideWorkTree: true,
      insideGitDir: false,
      format: 'sha1',
      shallow: false,
      paths: ['/r', '/r/.git', '.git'],
    });
    const git = parseGitVersion('git version 2.39.5') ?? assert.fail();
    textRounds(
      [
        "fatal: detected dubious ownership in repository at '/r'\n\n\tgit config --global --add safe.directory /r\n",
        'fatal: unknown repository extension found:\n\trefstorage\n',
        'fatal: not a git repository (or any of the parent directories): .git\n',
      ],
      (input) => {
        const codes = ['unsafe-repository', 'repository-too-new', 'not-a-repository', 'git-exited'];
        assert.ok(codes.includes(unreadable('/r', input, git).code));
      },
    );
    // Gone through once, however many lines there are.
    unreadable('/r', `dubious ownership\nextension found:${'\n'.repeat(300_000)}`, git);
  });

  it('of configuration that others may have written: submodules and filters', () => {
    rounds(
      buffers(
        'submodule.lib.path\nlibs/one\0submodule.lib.url\n../x\0',
        'submodule.../x.path\na\0submodule.a.path\n../b\0submodule.-c.path\nc\0submodule.b.path\n.git/hooks\0',
      ),
      (input) => {
        for (const { name, path } of accepts('parseSubmodules', input, () => parseSubmodules(input)) ?? []) {
          for (const text of [name, path]) {
            assert.equal(pathProblem(Buffer.from(text)), undefined, JSON.stringify({ name, path }));
          }
        }
      },
    );
    textRounds([`160000 commit ${OID}\tlibs/one\0`, `100644 blob ${OID}\ta\0`, ''], (input) => {
      const commit = accepts('parseGitlink', input, () => parseGitlink(input));
      assert.ok(commit === undefined || (isOid(commit) && input.startsWith(`160000 commit ${commit}\t`)));
    });
    const config = (clean: string): Buffer =>
      Buffer.from(`filter.x.clean\n${clean}\0filter.x.required\ntrue\0filter.y.smudge\ncat\0`);
    rounds([config('git-lfs clean -- %f'), config(`A=1 "sc"'r'ip\\ts/x" | sh -c 'cat'`)], (input) => {
      const parsed = parseConfigList(input);
      const allowed = accepts('allowedFilters', input, () => allowedFilters(parsed, ['x'])) ?? assert.fail();
      const denied = accepts('deniedFilters', input, () => deniedFilters(parsed, ['x'])) ?? assert.fail();
      assert.ok(allowed.every(({ name, entries }) => name === 'x' && entries.length > 0));
      assert.ok(!allowed.some(({ name }) => denied.includes(name)));
    });
    textRounds(['cat', `'a b' | tr "a" \\b`, '# x'], (input) => {
      // Whatever is given to it, it is a program of the work tree.
      const command = `./tool ${input.replaceAll('\0', '')}`;
      assert.deepEqual(allowedFilters(parseConfigList(config(command)), ['x']), [], command);
    });
    assert.deepEqual(allowedFilters(parseConfigList(config(`${'a= '.repeat(300_000)}./tool`)), ['x']), []);
  });

  it('of trees, which are written again as they were read', () => {
    for (const format of ['sha1', 'sha256'] as const) {
      const oid = (byte: string): string => byte.repeat(format === 'sha1' ? 40 : 64);
      const trees = [
        [],
        [{ mode: '100644', name: 'a.txt', oid: oid('a') }],
        [
          { mode: '40000', name: 'a', oid: oid('b') },
          { mode: '100755', name: 'a.b', oid: oid('c') },
          { mode: '120000', name: '\xff', oid: oid('d') },
          { mode: '160000', name: 'z', oid: oid('e') },
        ],
      ].map((entries) => writeTree(entries, format));
      rounds(trees, (input) => {
        const entries = accepts('parseTree', input, () => parseTree(input, format));
        const found = accepts('findEntry', input, () => findEntry(input, 'a.b', format));
        const edits = new Map([
          ['a.b', { mode: '100644', oid: oid('9') }],
          ['gone', null],
        ]);
        const spliced = accepts('spliceTree', input, () => spliceTree(input, edits, format));
        if (entries === undefined) {
          return;
        }
        for (const entry of entries) {
          accepts('kindOfMode', entry.mode, () => kindOfMode(entry.mode));
        }
        assert.deepEqual(
          found,
          entries.find(({ name }) => name === 'a.b'),
        );
        const isKnown = entries.every(({ mode }) => accepts('kindOfMode', mode, () => kindOfMode(mode)) !== undefined);
        const isSorted =
          isKnown &&
          entries.every((entry, index) => index === 0 || compareEntries(entries[index - 1] ?? entry, entry) < 0);
        if (isSorted) {
          assert.deepEqual(writeTree(entries, format), input);
          assert.equal(findEntry(spliced ?? assert.fail('it was not spliced'), 'a.b', format)?.oid, oid('9'));
        }
      });
    }
  });

  it('of commits, which are written again as they were read', () => {
    const person = { name: 'Tess', email: 'tess@example.com', time: 1_700_000_000, offset: '+0100' };
    const valid = [
      writeCommit({ tree: OID, parents: [], author: person, committer: person, message: 'one\n' }),
      writeCommit({ tree: OID, parents: [OTHER, OID], author: person, committer: person, message: 'a\n\nb\n' }),
      Buffer.from(`tree ${OID}\nauthor x\ncommitter y\nencoding latin1\ngpgsig -----\n x\n\nmessage`),
    ];
    rounds(valid, (input) => {
      const commit = accepts('parseCommit', input, () => parseCommit(input));
      if (commit !== undefined) {
        const write = (fields: typeof commit): typeof commit =>
          parseCommit(accepts('writeCommit', input, () => writeCommit(fields)) ?? assert.fail('it cannot be written'));
        // Names lose what would end the field, once.
        const again = write(commit);
        const { tree, parents, message } = again;
        assert.deepEqual([tree, parents, message], [commit.tree, commit.parents, commit.message]);
        assert.deepEqual(write(again), again);
      }
    });
    for (const each of valid.slice(0, 2)) {
      assert.deepEqual(writeCommit(parseCommit(each)), each);
    }
  });

  it('of loose objects, however much a few bytes unpack to', () => {
    const bomb = encodeLoose('blob', Buffer.alloc(200_000));
    rounds([encodeLoose('blob', Buffer.from('hello')), encodeLoose('tree', Buffer.alloc(9000, 7)), bomb], (input) => {
      const object = accepts('decodeLoose', input, () => decodeLoose(input));
      if (object !== undefined) {
        assert.deepEqual(decodeLoose(encodeLoose(object.type, object.body)), object);
        assert.ok(isOid(hashObject('sha1', object.type, object.body)));
      }
    });
  });

  it('of intents: what was read is written again, and holds oids and names only', () => {
    const intents: Intent[] = [
      { kind: 'create', nonce: '0123456789abcdef' },
      { kind: 'delete' },
      { kind: 'apply', branch: 'fix-login', tip: OID, tree: OTHER, partial: false },
      { kind: 'restore', from: OID, to: OTHER, undo: null, subject: 's', agent: 'user', reverses: null },
    ];
    rounds(
      intents.map((intent) => formatIntent(ID, intent, null)),
      (input) => {
        const parsed = accepts('parseIntent', input, () => parseIntent(input, ID)) ?? assert.fail('it never throws');
        if (parsed.kind === 'ok') {
          assert.deepEqual(parseIntent(formatIntent(ID, parsed.intent, null), ID), { ...parsed, holder: null });
        }
      },
    );
  });

  it('of what windows tell each other of saves', () => {
    const notices: SaveNotice[] = [
      { saving: null, owner: null, answer: null, unsaved: [] },
      { saving: 1_700_000_000_000, owner: 'window-1', answer: 'a1b2', unsaved: ['/a/b', '/c \n'] },
    ];
    rounds(
      notices.map((notice) => Buffer.from(formatNotice(notice))),
      (input) => {
        const notice = accepts('parseNotice', input, () => parseNotice(input.toString()));
        if (notice !== undefined) {
          assert.deepEqual(parseNotice(formatNotice(notice)), notice);
        }
      },
    );
    for (const notice of notices) {
      assert.deepEqual(parseNotice(formatNotice(notice)), notice);
    }
  });

  it('of records, holders, and the list of storages', () => {
    const record = {
      id: ID,
      nonce: '0123456789abcdef',
      name: 'Fix login',
      slug: 'fix-login',
      repository: 'my-app',
      branch: 'bulkhead/fix-login',
      base: { commit: OID, tree: OTHER },
      created: 1_700_000_000_000,
      from: 'main',
      state: 'ready',
      trashed: null,
      successor: null,
    } as const;
    rounds(
      [formatRecord(record), Buffer.from('{"format":2}'), Buffer.from(`{"format":1,"__proto__":{"id":"${ID}"}}`)],
      (input) => {
        const parsed =
          accepts('parseRecord', input, () => parseRecord(input, ID)) ??
          assert.fail('a record is never refused by throwing');
        if (parsed.kind === 'ok') {
          assert.deepEqual(parseRecord(formatRecord(parsed.record), ID), parsed);
        }
      },
    );
    const holder = JSON.stringify({
      format: 1,
      host: 'h',
      pid: 1,
      boot: null,
      started: 's',
      thread: 0,
      agent: 'a',
      nonce: 'n',
      purpose: 'p',
      time: 5,
    });
    textRounds([holder, '[]', 'null'], (input) => {
      const parsed = accepts('parseHolder', input, () => parseHolder(input));
      if (parsed?.kind === 'ok') {
        assert.deepEqual(parseHolder(formatHolder(parsed.holder)), parsed);
        assert.ok(!describeHolder(parsed.holder, 0).includes('-1 s'));
      }
    });
    textRounds(
      ['{"format":1,"repositories":[{"repository":"/a","storage":"/b"}]}', '{"format":2,"repositories":[]}'],
      (input) => {
        const entries = accepts('parseIndex', input, () => parseIndex(input, '/index'));
        assert.deepEqual(
          entries === undefined
            ? undefined
            : parseIndex(JSON.stringify({ format: 1, repositories: entries }), '/index'),
          entries,
        );
      },
    );
  });

  it('of what we note beside sessions: seals, maintenance, pointers, names of things half made', async () => {
    const seal = {
      key: Buffer.alloc(32, 7),
      marks: new Map([
        ['pack/pack-1.pack', 'a'.repeat(32)],
        ['__proto__', 'b'.repeat(32)],
      ]),
    };
    const damage = [`{"format":1,"key":"${'a'.repeat(64)}","marks":{"x":7}}`, '{"format":1,"key":"","marks":[]}'];
    textRounds([formatSeal(seal), ...damage], (input) => {
      const parsed = accepts('parseSeal', input, () => parseSeal(input)) ?? assert.fail('it never throws');
      if (parsed.kind === 'ok') {
        assert.deepEqual(parseSeal(formatSeal(parsed.seal)), parsed);
        const { key, marks } = parsed.seal;
        assert.ok(key.length === 32 && [...marks.values()].every((mark) => /^[0-9a-f]{32}$/.test(mark)));
      }
    });
    assert.deepEqual(parseSeal(formatSeal(seal)), { kind: 'ok', seal });
    assert.deepEqual(
      damage.map((text) => parseSeal(text).kind),
      ['damaged', 'damaged'],
    );
    textRounds(
      ['{"format":1,"first":1,"last":2,"lastFull":null,"result":{}}', '{"format":1,"first":1e999,"last":-1}', '[1]'],
      (input) => {
        const parsed = accepts('parseMaintenance', input, () => parseMaintenance(input)) ?? assert.fail();
        for (const time of parsed.kind === 'ok' ? Object.values(parsed.state) : []) {
          assert.ok(time === null || (Number.isSafeInteger(time) && time >= 0));
        }
      },
    );
    const pointer = { storage: '/s', id: ID, nonce: 'abc' };
    textRounds([JSON.stringify({ format: 1, ...pointer }), '{"format":2}', '{"format":1,"id":"../.."}'], (input) => {
      const parsed = accepts('parsePointer', input, () => parsePointer(input));
      const file = accepts('parseSessionFile', input, () => parseSessionFile(input));
      if (parsed !== undefined) {
        assert.deepEqual(parsePointer(JSON.stringify({ format: 1, ...parsed })), parsed);
        assert.deepEqual(file, { id: parsed.id, nonce: parsed.nonce });
      }
      assert.ok(file === undefined || /^[a-z2-7]{12}$/.test(file.id));
    });
    assert.deepEqual(parsePointer(JSON.stringify({ format: 1, ...pointer })), pointer);
    const names = [15, 20].map((digits) => `x-0123456789ab-${'9'.repeat(digits)}-5-00000000`);
    names.push(await ownedName('x'), 'x-0123456789ab-1-unknown-01234567');
    textRounds(names, (input) => {
      const owner = accepts('parseOwnedName', input, () => parseOwnedName(input));
      if (owner !== undefined) {
        assert.ok(Number.isSafeInteger(owner.pid));
        assert.ok(input.includes(`-${owner.machine}-`) && input.includes(`-${owner.started ?? 'unknown'}-`));
      }
    });
    for (let round = 0; round < FILE_ROUNDS; round++) {
      const name = fuzzer.text(names);
      assert.ok(['alive', 'dead', 'unknown'].includes(await livenessOfOwner(name)), name);
    }
    const stat = '1 (a b) c) S 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 5000 1 1\n';
    textRounds([stat, stat.replace(' S ', ' Z '), ''], (input) => {
      const started = accepts('parseProcessStat', input, () => parseProcessStat(input));
      assert.ok(started === null || typeof started === 'symbol' || /^\d+$/.test(started ?? ''));
    });
    assert.deepEqual([parseProcessStat(stat), typeof parseProcessStat(stat.replace(' S ', ' Z '))], ['5000', 'symbol']);
  });

  it('of snapshot messages: what was formatted is read again, and nothing else can pose as it', () => {
    const meta = {
      session: ID,
      trigger: 'save',
      agent: 'codex',
      turn: 'turn 1',
      head: OID,
      skipped: { count: 2, named: [repoPathFromText('a b.txt') ?? assert.fail()] },
      chain: { number: 1, ordinal: 2, started: 3 },
      previous: OTHER,
      reverses: null,
    } as const;
    const valid = [formatMessage('Subject', meta), formatMessage('s', { ...meta, turn: null, head: null })];
    textRounds(valid, (input) => {
      const parsed = accepts('parseMessage', input, () => parseMessage(input));
      if (parsed !== undefined) {
        assert.deepEqual(parseMessage(formatMessage(parsed.subject, parsed.meta)), {
          ...parsed,
          meta: { ...parsed.meta, skipped: { ...parsed.meta.skipped, named: parsed.meta.skipped.named.slice(0, 20) } },
        });
      }
      // Whatever a person types as subject, the trailers are ours.
      assert.deepEqual(parseMessage(formatMessage(input, meta)), { subject: cleanSubject(input), meta });
    });
  });

  it('of names: sessions, paths, refs, oids', () => {
    textRounds(['Fix login', 'workspace', 'ünï', ' a ', 'con', 'a'.repeat(101)], (input) => {
      const check = accepts('checkSessionName', input, () => checkSessionName(input));
      if (check?.kind === 'ok') {
        assert.deepEqual(checkSessionName(check.name), check);
      }
      const slug = accepts('slugOf', input, () => slugOf(input)) ?? assert.fail();
      assert.ok(slug === '' || isSlug(slug), JSON.stringify(slug));
      const part = accepts('repositoryPart', input, () => repositoryPart(input)) ?? assert.fail();
      assert.equal(repositoryPart(part), part);
    });
    rounds(buffers('a/b.txt', '.git/config', 'a/../b', 'GIT~1', 'a\\..\\b', '\xe2\x80\x8c.git', 'con'), (input) => {
      const path = accepts('repoPathFromBytes', input, () => repoPathFromBytes(input));
      if (path !== undefined) {
        assert.deepEqual(pathBytes(path), input);
        assert.equal(pathProblem(input), undefined);
        assert.doesNotMatch(visiblePath(path), /[\0-\x1f]/);
        assert.equal(quotedLine(path).filter((byte) => byte === 10).length, 1, 'one line for git, whatever the name');
      }
    });
    textRounds(
      [`refs/bulkhead/sessions/${ID}`, 'refs/bulkhead/workspace', 'main', 'a/b', 'a.lock', '@', ID],
      (input) => {
        const session = accepts('sessionOfShadowRef', input, () => sessionOfShadowRef(input));
        assert.ok(session === undefined || shadowRef(session) === input);
        for (const [name, make] of Object.entries({ shadowRef, baseRef, recordRef, claimRef })) {
          const ref = accepts(name, input, () => make(input));
          assert.ok(ref === undefined || /^refs\/bulkhead\/[a-z]+(\/[a-z2-7]{12}|\/workspace)?$/.test(ref), ref);
        }
        for (const [name, make] of Object.entries({ headRef, pinRef })) {
          const ref = accepts(name, input, () => make(ID, input));
          assert.equal(ref !== undefined, isBranchName(input));
        }
        assert.ok(!isOid(input) || isOidPrefix(input));
      },
    );
    textRounds(['tree=empty', `tree=${OID}`, `tree=${OID}&name=_3g`], (query) => {
      const parts = { scheme: 'bulkhead', authority: 'x', path: `/${query.slice(0, 5)}`, query };
      const location = accepts('parseSnapshotUri', query, () => parseSnapshotUri(parts));
      if (location !== undefined) {
        assert.deepEqual(parseSnapshotUri(formatSnapshotUri(location)), location);
      }
    });
  });

  it('of arguments of the command line', () => {
    const words = [
      'checkpoint',
      'session',
      'new',
      '--name',
      '--name=x',
      '-m',
      '-mtext',
      '--',
      '-',
      '--json',
      '--limit',
      '--limit=',
      '--no-json',
      '--constructor',
      '-h',
      '',
      '--path',
      'a b',
    ];
    for (let round = 0; round < ROUNDS; round++) {
      const argv = Array.from({ length: fuzzer.random.integer(0, 8) }, () =>
        fuzzer.random.chance(0.8) ? fuzzer.random.pick(words) : fuzzer.text(words),
      );
      const parsed = accepts('parseArguments', argv, () => parseArguments(argv));
      const end = argv.indexOf('--');
      if (parsed !== undefined && end !== -1 && parsed.rest.length > 0) {
        assert.deepEqual(parsed.rest, argv.slice(argv.length - parsed.rest.length));
      }
      assert.equal(typeof wantsJson(argv), 'boolean');
      if (parsed !== undefined) {
        const command = accepts('commandFor', argv, () => commandFor(parsed.words));
        const given = command && accepts('argumentsOf', argv, () => argumentsOf(command, parsed));
        assert.ok(given === undefined || (command !== undefined && given.values.length <= command.arguments.most));
      }
    }
  });

  it('of what arguments name: limits, snapshots, sides of a comparison, paths', async () => {
    textRounds(['100', '1', '0', '1e3', '-1', '9'.repeat(20)], (input) => {
      const limit = accepts('limitOf', input, () => limitOf(input));
      assert.ok(limit === undefined || String(limit) === input);
    });
    textRounds([OID, 'C0FFEE', `${OID}^^`, '^', 'worktree'], (input) => {
      const name = accepts('parseSnapshotName', input, () => parseSnapshotName(input));
      if (name !== undefined) {
        assert.ok(isOidPrefix(name.digits));
        assert.equal(name.digits + '^'.repeat(name.back), input.toLowerCase());
      }
    });
    textRounds(['base', 'worktree', `session:${ID}`, 'session:', OID], (input) => {
      const side = accepts('parseSide', input, () => parseSide(input)) ?? assert.fail('it never throws');
      const text = side.kind === 'own' ? side.state : side.kind === 'session' ? `session:${side.name}` : side.name;
      assert.equal(text, input);
    });
    const words = ['a/b.txt', './a', '../a', '/no/such/tree/x', '.', '', '.git/config', 'a/../../b', '..a', '\0'];
    for (let round = 0; round < ROUNDS; round++) {
      const given = Array.from({ length: fuzzer.random.integer(0, 3) }, () => fuzzer.text(words));
      for (const workTree of [null, '/no/such/tree']) {
        const cwd = fuzzer.random.pick(['/no/such/tree', '/no/such/tree/sub', '/elsewhere']);
        const paths = await acceptsLater('pathsOf', given, () => pathsOf({ given, workTree, cwd }));
        assert.ok(
          paths === undefined ||
            (paths.length === given.length && paths.every((path) => pathProblem(path) === undefined)),
        );
      }
    }
  });

  it('of files that others could have written: HEAD, packed refs, pointers, session and storage files', async () => {
    const folder = temporaryFolder('fuzz');
    const gitDir = join(folder, '.git');
    mkdirSync(join(gitDir, 'refs', 'heads'), { recursive: true });
    const heads = buffers(
      'ref: refs/heads/main\n',
      `${OID}\n`,
      'ref: refs/heads/../../../etc/passwd\n',
      'ref: refs/heads/.invalid\n',
    );
    const refs = buffers(`${OID}\n`, '', 'ref: refs/heads/x\n');
    const packed = buffers(`# pack-refs with: peeled\n${OID} refs/heads/main\n^${OTHER}\n`, `${OID} refs/heads/main`);
    const jsons = buffers(
      `{"format":1,"id":"${ID}","nonce":"abc"}`,
      '{"format":1,"repository":"/x"}',
      '{"format":7,"repository":"/x"}',
      '[1]',
    );
    const pointers = buffers('gitdir: .git/modules/x\n', 'gitdir: /etc\n');
    const tables = buffers('0x1-0x2-ab.ref\n', '0x1-0x2-ab.ref\n../../HEAD\n');
    for (let round = 0; round < FILE_ROUNDS; round++) {
      writeFileSync(join(gitDir, 'HEAD'), fuzzer.bytes(heads));
      writeFileSync(join(gitDir, 'refs', 'heads', 'main'), fuzzer.bytes(refs));
      writeFileSync(join(gitDir, 'packed-refs'), fuzzer.bytes(packed));
      const head = accepts('readHead', round, () => readHead(gitDir));
      assert.ok(head === undefined || head.kind === 'unknown' || head.oid === null || isOid(head.oid));
      const branches = accepts('readBranches', round, () => readBranches(gitDir)) ?? assert.fail('it never throws');
      assert.ok([...branches.values()].every((oid) => isOid(oid)));
      mkdirSync(join(folder, 'nested'), { recursive: true });
      writeFileSync(join(folder, 'nested', '.git'), fuzzer.bytes(pointers));
      accepts('readNestedHead', round, () => readNestedHead(join(folder, 'nested'), [folder]));
      assert.equal(isPlainGitFolder(join(folder, 'nested', '.git')), false);
      const oid = accepts('readRefFile', round, () => readRefFile(join(gitDir, 'refs', 'heads', 'main')));
      assert.ok(oid === undefined || isOid(oid));
      const isPacked = accepts('PackedRefs.has', round, () => new PackedRefs(gitDir).has('refs/heads/main'));
      assert.equal(isPacked, readFileSync(join(gitDir, 'packed-refs')).includes(' refs/heads/main\n'));
      mkdirSync(join(gitDir, 'reftable'), { recursive: true });
      writeFileSync(join(gitDir, 'reftable', 'tables.list'), fuzzer.bytes(tables));
      writeFileSync(join(gitDir, 'reftable', '0x1-0x2-ab.ref'), fuzzer.bytes(refs));
      const read = accepts('readTables', round, () => readTables(gitDir));
      assert.ok([...(read?.keys() ?? [])].every((name) => !name.includes('/')));
      const json = fuzzer.bytes(jsons);
      writeFileSync(join(folder, 'session.json'), json);
      writeFileSync(join(folder, 'storage.json'), json);
      await acceptsLater('readSessionFile', json, () => readSessionFile(folder));
      await acceptsLater('readStorageOwner', json, () => readStorageOwner(folder));
      await acceptsLater('diskError', json, () => diskError(json.toString(), folder));
    }
    assert.equal(readRefFile(gitDir), undefined);
    assert.equal(new PackedRefs(join(folder, 'none')).has('refs/heads/main'), false);
  });

  it('of what says which clone a folder is: believed when all agree, or when the clone has lost its word', async () => {
    const storage = temporaryFolder('fuzz-storage');
    const clone = join(storage, 'sessions', ID, 'app-fix');
    const planted = join(storage, 'planted');
    for (const folder of [clone, planted]) {
      mkdirSync(join(folder, '.git'), { recursive: true });
    }
    const environment = cleanEnvironment({ XDG_STATE_HOME: join(storage, 'state') });
    mkdirSync(join(storage, 'state', 'bulkhead'), { recursive: true });
    const entry = { repository: '/r', storage };
    writeFileSync(indexFile(environment), JSON.stringify({ format: 1, repositories: [entry] }));
    writeFileSync(join(storage, 'storage.json'), '{"format":1,"repository":"/r"}');
    const host = await createHost({ log: silentLog, product: 'cli', environment });
    const file = { format: 1, id: ID, nonce: 'abc' };
    const pointers = [{ ...file, storage }, { ...file, storage: '/s' }, { ...file, storage, nonce: 'x' }, { storage }];
    const location = { storage, session: ID, repository: '/r', clone };
    let believed = 0;
    for (let round = 0; round < FILE_ROUNDS; round++) {
      const session = fuzzer.random.chance(0.7) ? JSON.stringify(file) : fuzzer.text([JSON.stringify(file)]);
      writeFileSync(join(storage, 'sessions', ID, 'session.json'), session);
      const text = fuzzer.text(pointers.map((pointer) => JSON.stringify(pointer)));
      writeFileSync(join(clone, '.git', 'bulkhead'), text);
      writeFileSync(join(planted, '.git', 'bulkhead'), text);
      const found = await acceptsLater('findClone', [session, text], () => findClone(host, clone));
      const [known, pointer] = [parseSessionFile(session), parsePointer(text)];
      const agrees =
        pointer === undefined ||
        Buffer.byteLength(text) > 4096 ||
        (pointer.storage === storage && pointer.id === known?.id && pointer.nonce === known.nonce);
      const isPlaced = known?.id === ID && Buffer.byteLength(session) <= 4096;
      assert.deepEqual(found, isPlaced && agrees ? location : undefined, `${session} ${text}`);
      believed += found === undefined ? 0 : 1;
      // A pointer alone makes no clone of a folder, whatever it says.
      assert.equal(await acceptsLater('findClone', text, () => findClone(host, planted)), undefined);
    }
    assert.ok(believed > 0 && believed < FILE_ROUNDS);
  });

  it('is among these, or says why not', () => {
    const own = readFileSync(inRoot('test/unit/fuzz.test.ts'), 'utf8');
    const imported = [...own.matchAll(/^import \{([^}]*)\} from '\.\.\/\.\.\/src\//gm)].flatMap(([, names = '']) =>
      names.split(',').map((name) => name.trim()),
    );
    const parsers = globSync('src/{core,git,session,cli}/**/*.ts', { cwd: inRoot('.') }).flatMap((file) =>
      [
        ...readFileSync(inRoot(file), 'utf8').matchAll(
          /^export (?:async )?(?:function\*?|const) ((?:parse|read)[A-Z]\w*)/gm,
        ),
      ].map(([, name = '']) => name),
    );
    assert.ok(parsers.length > 30, String(parsers.length));
    assert.deepEqual(
      parsers.filter((name) => !imported.includes(name)).sort(),
      Object.keys(ELSEWHERE).sort(),
      'the first has no rounds here and no reason, or a reason is out of date',
    );
  });
});
