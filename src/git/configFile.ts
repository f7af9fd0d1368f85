/** One section of a git configuration file, in the order in which it is written. */
export interface ConfigSection {
  readonly section: string;
  readonly subsection?: string;
  readonly entries: readonly (readonly [key: string, value: string])[];
}

function quoteValue(value: string): string {
  const escaped = value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n').replaceAll('\t', '\\t');
  return `"${escaped}"`;
}

/** Writes a configuration file as text; values are always quoted, so that none can start a comment or another key. */
export function formatConfig(sections: readonly ConfigSection[]): string {
  return sections
    .filter(({ entries }) => entries.length > 0)
    .map(({ section, subsection, entries }) => {
      const head =
        subsection === undefined
          ? `[${section}]`
          : `[${section} "${subsection.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"]`;
      return [head, ...entries.map(([key, value]) => `\t${key} = ${quoteValue(value)}`)].join('\n');
    })
    .join('\n')
    .concat('\n');
}
