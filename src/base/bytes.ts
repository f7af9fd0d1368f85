/** Splits at NUL bytes; a trailing NUL ends the last part and starts none. The parts share memory with the input. */
export function splitNul(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  let start = 0;
  while (start < bytes.length) {
    const end = bytes.indexOf(0, start);
    if (end === -1) {
      parts.push(bytes.subarray(start));
      break;
    }
    parts.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return parts;
}
