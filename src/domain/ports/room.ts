/** Keeps account of the room on the store's disk that running work will still take; what an object store has is endless. */
export interface Room {
  /** Reserves `bytes` for a holder in place of what it had reserved; DISK_FULL if they are not there. */
  reserve(holder: string, bytes: number): Promise<void>;
  /** So many of the reserved bytes were written, and count as used by the disk now. */
  spend(holder: string, bytes: number): void;
  /** A holder needs nothing more. */
  free(holder: string): void;
}
