/** Hints for misspelt names in error messages. */
import leven from 'leven'

/** A hint at the nearest of the names, or '' when none is near. Case, `-` and `_` do not count. */
export function didYouMean(name: string, names: readonly string[]): string {
  const plain = (word: string) => word.toLowerCase().replace(/[-_]/g, '')
  const [nearest] = names
    .map((candidate) => ({ candidate, distance: leven(plain(name), plain(candidate)) }))
    .filter(({ candidate, distance }) => {
      const isStart = name.length > 2 && plain(candidate).startsWith(plain(name))
      return isStart || distance <= Math.max(1, Math.floor(name.length / 3))
    })
    .sort((a, b) => a.distance - b.distance)
  return nearest ? ` Did you mean ${nearest.candidate}?` : ''
}
