import { createHash } from 'node:crypto';

/**
 * The folder name of a repository's storage: the first 32 hex digits of a SHA-256 over the real path, which the caller resolves. A
 * context gives one path several stores; NUL between the two cannot be part of either, so no two pairs share a key.
 */
export function workspaceKey(realPath: string, context = ''): string {
  return keyOf(realPath, context, '\0');
}

/** Keys of an older scheme, to find what it left behind. Its `:` is ambiguous: `a:b` + `c` and `a` + `b:c` are one key. */
export function legacyWorkspaceKey(realPath: string, context = ''): string {
  return keyOf(realPath, context, ':');
}

function keyOf(realPath: string, context: string, separator: string): string {
  // The root keeps its only slash.
  const path = realPath.replace(/(?<!^)\/+$/, '');
  const trimmed = context.trim();
  const text = trimmed === '' ? path : path + separator + trimmed;
  return createHash('sha256').update(text, 'utf8').digest('hex').slice(0, 32);
}
