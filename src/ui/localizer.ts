/** Translates a text for people; the message is the key, `{0}`, `{1}` … are filled in. A parameter, so that plain modules need no editor. */
export interface Localizer {
  t(message: string, ...values: (string | number)[]): string;
}

/** Text in the language it was written in: for plain modules under test, and before the editor's translator is there. */
export const untranslated: Localizer = {
  t: (message, ...values) =>
    message.replace(/\{(\d+)\}/g, (whole, index: string) => String(values[Number(index)] ?? whole)),
};
