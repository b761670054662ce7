/** How a thing was made, for a thread to make it again. */

/** How objects of functions were made. Kept beside them: a field of that name may stand in anybody's data. */
export const origins = new WeakMap<object, { name: string; args: readonly unknown[] }>()

/** Notes the function and the arguments that made it, for another thread to make it again. */
export function madeBy<Made extends object>(name: string, args: readonly unknown[], made: Made): Made {
  origins.set(made, { name, args })
  return made
}
