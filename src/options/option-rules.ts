/** Rules for the values of options, as data, so that the check and the words of its error come from one source. */

/** The rules of a group of options, by name. */
export type OptionRules<Name extends string = string> = Readonly<Record<Name, OptionRule>>

export type OptionRule = OptionType & {
  /** Completes "it takes …" where the words made of the rule say too little. */
  readonly wanted?: string
}

type OptionType =
  | { readonly type: 'any' | 'boolean' | 'function' | 'string' }
  | NumberType
  /** One of these strings. */
  | { readonly type: 'choice'; readonly choices: readonly string[] }
  | { readonly type: 'list'; readonly of?: OptionRule; readonly length?: number }
  /** An object, whose fields are options of their own where `fields` has rules for them. */
  | { readonly type: 'object'; readonly fields?: OptionRules }
  /** What one of these rules allows. */
  | { readonly type: 'either'; readonly rules: readonly OptionRule[] }
  | { readonly type: 'custom'; readonly isValid: (value: unknown) => boolean; readonly wanted: string }

export interface NumberType {
  readonly type: 'number'
  /** Such as `milliseconds`: the words for the number. */
  readonly unit?: string
  readonly isWhole?: boolean
  readonly above?: number
  readonly from?: number
  readonly below?: number
  readonly to?: number
  /** `Infinity` stands for "no limit". */
  readonly allowsInfinity?: boolean
}

/** A whole number from 1. */
export const positiveWhole = { type: 'number', isWhole: true, from: 1 } as const
export const positiveNumber = { type: 'number', above: 0 } as const
/** Milliseconds above 0. */
export const positiveMs = { type: 'number', unit: 'milliseconds', above: 0 } as const
/** A time limit in milliseconds; `Infinity` switches it off. */
export const limitMs = { ...positiveMs, allowsInfinity: true } as const
