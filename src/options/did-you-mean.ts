/** Hints for misspelt names, in the messages of errors. */

/** A hint at the nearest of the names, '' when none is near. */
export function didYouMean(name: string, names: readonly string[]): string {
  const plain = (word: string) => word.toLowerCase().replace(/[-_]/g, '')
  const near = names
    .map((candidate) => ({ candidate, distance: editDistance(plain(name), plain(candidate)) }))
    .filter(({ candidate, distance }) => {
      const isStart = name.length > 2 && plain(candidate).startsWith(plain(name))
      return isStart || distance <= Math.max(1, Math.floor(name.length / 3))
    })
    .sort((a, b) => a.distance - b.distance)[0]
  return near ? ` Did you mean ${near.candidate}?` : ''
}

/** Levenshtein's distance, by rows. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(change, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}
