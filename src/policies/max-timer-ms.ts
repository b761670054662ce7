/** Longest delay that a Node timer takes, in milliseconds; a longer one would ring at once. */
export const maxTimerMs = 2_147_483_647
