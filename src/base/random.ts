/** Randomness as a parameter, so that tests are repeatable. */
export interface Random {
  bytes(count: number): Uint8Array;
  /** A number in [0, 1). */
  fraction(): number;
}
