import assert from 'node:assert/strict';
import { BulkheadError } from '../../../src/base/errors';
import {
  baseRef,
  claimRef,
  closedRef,
  headRef,
  isBranchName,
  lostRef,
  pinRef,
  recordRef,
  sessionOfShadowRef,
  shadowRef,
} from '../../../src/core/refName';

const id = 'abcdefghij23';
const oid = 'ce013625030ba8dba906f756967f9e9ca394464a';

describe('refName', () => {
  it('names every ref', () => {
    assert.equal(shadowRef(id), `refs/bulkhead/sessions/${id}`);
    assert.equal(shadowRef('workspace'), 'refs/bulkhead/workspace');
    assert.equal(baseRef(id), `refs/bulkhead/bases/${id}`);
    assert.equal(baseRef('workspace'), 'refs/bulkhead/bases/workspace');
    assert.equal(recordRef(id), `refs/bulkhead/records/${id}`);
    assert.equal(claimRef('workspace'), 'refs/bulkhead/claims/workspace');
    assert.equal(closedRef(id, 3), `refs/bulkhead/closed/${id}/3`);
    assert.equal(headRef(id, 'feature/x'), `refs/bulkhead/heads/${id}/feature/x`);
    assert.equal(lostRef(id, oid), `refs/bulkhead/lost/${id}/${oid}`);
    assert.equal(pinRef(id, 'before-lunch'), `refs/bulkhead/pins/${id}/before-lunch`);
  });

  it('finds the session of a shadow ref', () => {
    assert.equal(sessionOfShadowRef(shadowRef(id)), id);
    assert.equal(sessionOfShadowRef(shadowRef('workspace')), 'workspace');
    for (const ref of [
      '',
      'refs/bulkhead/sessions/',
      `refs/bulkhead/sessions/${id}/x`,
      'refs/bulkhead/sessions/workspace',
      `refs/heads/${id}`,
      recordRef(id),
    ]) {
      assert.equal(sessionOfShadowRef(ref), undefined, ref);
    }
  });

  it('takes no wrong id, number or name', () => {
    const bad: (() => string)[] = [
      () => shadowRef(''),
      () => shadowRef('../heads/main'),
      () => baseRef('abcd'),
      () => recordRef(`${id}\n`),
      () => claimRef(`${id} 0`),
      () => closedRef(id, -1),
      () => closedRef(id, 1.5),
      () => headRef(id, '../x'),
      () => headRef('x', 'main'),
      () => lostRef(id, 'HEAD'),
      () => pinRef(id, 'a b'),
    ];
    for (const make of bad) {
      assert.throws(make, (error) => error instanceof BulkheadError && error.kind === 'bug');
    }
  });

  it("knows git's rules for branch names", () => {
    for (const name of [
      'main',
      'a/b',
      'a.b',
      'a-',
      'a@b',
      '@a',
      'a{b',
      'a.lockx',
      'é',
      '日本',
      'a\u0085',
      '👍',
      'a]',
      'a/HEAD',
      'head',
      '"',
      "it's",
      '%',
    ]) {
      assert.ok(isBranchName(name), name);
    }
    const bad = [
      '',
      '-a',
      'a..b',
      'a@{1}',
      '@',
      'HEAD',
      '.a',
      'a/.b',
      'a.lock',
      'a.lock/b',
      '/a',
      'a/',
      'a//b',
      'a.',
      'a b',
      'a~',
      'a^1',
      'a:b',
      'a?',
      'a*',
      'a[',
      'a\\b',
      'a\n',
      'a\0',
      'a\x7f',
      'a\x1b',
      '..',
      '/',
    ];
    for (const name of bad) {
      assert.ok(!isBranchName(name), JSON.stringify(name));
    }
  });
});
