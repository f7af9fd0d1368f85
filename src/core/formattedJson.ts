/** What a small JSON file of ours says of itself. */
export type FormattedJson =
  | { readonly kind: 'ok'; readonly fields: Readonly<Record<string, unknown>> }
  | { readonly kind: 'newer' }
  /** Torn, or of another hand. */
  | { readonly kind: 'damaged' };

/** @param format the newest one that is known here; a larger one was written by a newer version, which its file is left to */
export function parseFormatted(text: string, format: number): FormattedJson {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { kind: 'damaged' };
  }
  if (typeof json !== 'object' || json === null) {
    return { kind: 'damaged' };
  }
  const fields = json as Readonly<Record<string, unknown>>;
  if (typeof fields['format'] === 'number' && fields['format'] > format) {
    return { kind: 'newer' };
  }
  return fields['format'] === format ? { kind: 'ok', fields } : { kind: 'damaged' };
}
