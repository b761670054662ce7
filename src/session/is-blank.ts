/** Whether a part is a text of nothing but white space, which vendors refuse. */
export function isBlank(part: { type: string; text?: string }): boolean {
  return part.type === 'text' && part.text?.trim() === ''
}
