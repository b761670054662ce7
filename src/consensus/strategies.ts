/** The strategies by name: the blocking thread makes a strategy again by its name and arguments. */
import { cluster } from './cluster.ts'
import { majority, unanimous, weighted } from './count.ts'
import { judge, synthesize } from './judge.ts'

export const strategies = { majority, weighted, unanimous, cluster, judge, synthesize }
