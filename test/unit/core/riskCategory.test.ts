import assert from 'node:assert/strict';
import { uncheckedRepoPath } from '../../../src/core/repoPath';
import { type RiskCategory, riskOf } from '../../../src/core/riskCategory';

const table: Readonly<Record<RiskCategory, readonly string[]>> = {
  system: [
    '.env',
    '.ENV',
    'a/.env',
    '.env.local',
    'secrets.env',
    'secrets',
    'secrets/readme.md',
    'a/.secrets/x',
    'secrets.yaml',
    'credentials',
    'credentials.json',
    'docker-compose.yml',
    'docker-compose.prod.yaml',
    'docker-compose-dev.yml',
    'compose.yaml',
    'compose.override.yml',
    '.vscode/settings.json',
    'packages/a/.vscode/settings.json',
    'id_rsa',
    'keys/id_ed25519',
    'server.pem',
    'tls.key',
    '.npmrc',
    '.netrc',
    // The first that fits wins.
    'node_modules/x/.env',
    'tmp/secrets.json',
    '.github/secrets.yml',
  ],
  temp: [
    'tmp/a.txt',
    'a/.tmp/b',
    '.cache/x',
    'logs/today.txt',
    'a.log',
    'a/__pycache__/b.pyc',
    'node_modules/x/config.json',
    'node_modules',
    'node_modules/x/CLAUDE.md',
  ],
  platform: [
    'AGENTS.md',
    'src/CLAUDE.md',
    'GEMINI.md',
    '.claude/commands/x.md',
    '.cursor/rules',
    '.github/workflows/ci.yml',
    '.codex/config.toml',
    '.gemini/settings.json',
    '.vscode/tasks.json',
    'prompts/x.md',
    'a/prompts/b/c.txt',
    'agents/x.yaml',
    'skills/a/b.md',
    'a.prompt.md',
    'b.instructions.md',
    '.cursorrules',
    '.mcp.json',
  ],
  user: [
    'src/tsconfig.json',
    'tsconfig.json',
    'jsconfig.json',
    'src/secretsanta.ts',
    'a.environment.ts',
    'dialogs/a.ts',
    'catalogs/x.ts',
    'my.login.ts',
    'settings.json',
    'config.json',
    'prod.env',
    'environment.ts',
    'composer.json',
    'composer.yml',
    'id_rsa.pub',
    'src/keyboard.keymap',
    'dist/a.js',
    'reagents/a.ts',
    'src/logsearch.ts',
    'template/tmpl.ts',
    'myAGENTS.md',
    'README.md',
    'mysecrets/a',
    'prompt.md',
    'a.env.ts',
  ],
};

describe('riskCategory', () => {
  for (const [category, paths] of Object.entries(table)) {
    it(`knows what is ${category}`, () => {
      for (const path of paths) {
        assert.equal(riskOf(uncheckedRepoPath(path)), category, path);
      }
    });
  }
});
