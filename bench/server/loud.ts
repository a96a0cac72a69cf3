/** What the loud run says at a time, in bytes. */
export const LOUD_BYTES: number = 16 * 1_024;
