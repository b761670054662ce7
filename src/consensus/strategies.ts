/** The strategies by name, as another thread makes them again. */
import { cluster } from './cluster.ts'
import { majority, unanimous, weighted } from './count.ts'
import { judge, synthesize } from './judge.ts'

export const strategies = { majority, weighted, unanimous, cluster, judge, synthesize }
