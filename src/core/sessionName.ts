import { WORKSPACE_ID } from './sessionId';
import { breaksLine, isBlank } from './visibleText';

const NAME_LIMIT = 100;
const SLUG_LIMIT = 40;
/** Windows opens a device for these names, with any extension (Microsoft, "Naming Files, Paths, and Namespaces"). */
const DEVICE = /^(?:con|prn|aux|nul|com\d|lpt\d)$/;

export type NameCheck =
  | { readonly kind: 'ok'; readonly name: string }
  /** `reason` is for people, a whole sentence. */
  | { readonly kind: 'invalid'; readonly reason: string };

/** Composed (NFC), so that a name typed on a Mac is found from elsewhere. */
export function checkSessionName(text: string): NameCheck {
  const name = text.trim().normalize('NFC');
  if (isBlank(name) && !breaksLine(name)) {
    return invalid('A session needs a name.');
  }
  if (breaksLine(name)) {
    return invalid(
      'A session name cannot hold line breaks, control characters or characters that change the reading direction.',
    );
  }
  if (Array.from(name).length > NAME_LIMIT) {
    return invalid(`A session name can have at most ${String(NAME_LIMIT)} characters.`);
  }
  if (name.toLowerCase() === WORKSPACE_ID) {
    return invalid(`"${name}" always means your own checkout. Choose another name.`);
  }
  return { kind: 'ok', name };
}

/** A part of a folder and branch name: lower-case ASCII words. Empty when nothing of the name is left. */
export function slugOf(name: string): string {
  const slug = name
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-/, '')
    .slice(0, SLUG_LIMIT)
    .replace(/-$/, '');
  return DEVICE.test(slug) ? `${slug}-session` : slug;
}

/** What `slugOf` can return, but not the empty one. */
export function isSlug(text: string): boolean {
  return text.length <= SLUG_LIMIT && /^[a-z0-9]+(?:-[a-z0-9]+)*$/.test(text) && !DEVICE.test(text);
}

function invalid(reason: string): NameCheck {
  return { kind: 'invalid', reason };
}
