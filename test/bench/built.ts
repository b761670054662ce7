/** The built library, as users get it. The types come from the sources, so that the type check needs no build. */

const dist = new URL('../../dist/src/', import.meta.url)

export const importConvoke = () =>
  import(new URL('index.js', dist).href) as Promise<typeof import('../../src/index.ts')>

export const importSimulator = () =>
  import(new URL('simulator/index.js', dist).href) as Promise<typeof import('../../src/simulator/index.ts')>
