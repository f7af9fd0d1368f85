import assert from 'node:assert/strict';
import { legacyWorkspaceKey, workspaceKey } from '../../../src/core/workspaceKey';

describe('workspaceKey', () => {
  it('has its golden values', () => {
    assert.equal(workspaceKey('/a0/usr/workdir'), '975eb797fc68061b3d6b10289d5e8eba');
    assert.equal(legacyWorkspaceKey('/a0/usr/workdir'), '975eb797fc68061b3d6b10289d5e8eba');
    assert.equal(workspaceKey('/a0/usr/workdir', 'chat-abc123'), '812b9334cbc1689fad8dd96ce6f2179d');
    assert.equal(legacyWorkspaceKey('/a0/usr/workdir', 'chat-abc123'), '599a1412e0031230524c14bdf8f69009');
    assert.equal(workspaceKey('/'), '8a5edab282632443219e051e4ade2d1d');
  });

  it('drops trailing slashes and blanks around the context', () => {
    assert.equal(workspaceKey('/a/b//'), workspaceKey('/a/b'));
    assert.equal(workspaceKey('//'), workspaceKey('/'));
    assert.equal(workspaceKey('/a/b', '  '), workspaceKey('/a/b'));
    assert.equal(workspaceKey('/a/b', ' c\n'), workspaceKey('/a/b', 'c'));
    assert.notEqual(workspaceKey('/a/b '), workspaceKey('/a/b'));
  });

  it('tells apart what the older scheme mixed up', () => {
    assert.equal(legacyWorkspaceKey('/a:b', 'c'), legacyWorkspaceKey('/a', 'b:c'));
    assert.notEqual(workspaceKey('/a:b', 'c'), workspaceKey('/a', 'b:c'));
  });

  it('is 32 hex digits over UTF-8', () => {
    assert.match(workspaceKey('/é/日本'), /^[0-9a-f]{32}$/);
    assert.notEqual(workspaceKey('/\u00e9'), workspaceKey('/e\u0301'));
  });
});
