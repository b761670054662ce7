/**
 * The response of a call without a reply, such as one that has not reached its vendor.
 *
 * Room `response`: chunks become a response, and a response becomes chunks again. Imported by `blocking`,
 * `blocking/thread`, `combinators`, `consensus`, `index`, `llm`, `session`, `store/sqlite/thread`.
 */
import type { GenerateResponse } from '../types.ts'
import { responseFromParts } from './response-from-parts.ts'
import type { ResponseFacts } from './response-from-parts.ts'

/** The response of a call without a reply, such as one that has not reached its vendor. */
export function emptyResponse(facts: ResponseFacts): GenerateResponse {
  return responseFromParts([], facts)
}
