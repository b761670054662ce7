/** The provider contract over every built-in provider. */
import { test } from 'node:test'
import OpenAI from 'openai'
import Anthropic from '@anthropic-ai/sdk'
import { GoogleGenAI } from '@google/genai'
import { createLLM } from 'convoke'
import { providerContract, simulatedSubject } from 'convoke/conformance'
import type { Subject } from 'convoke/conformance'

const subjects: Subject[] = [
  simulatedSubject('openai'),
  simulatedSubject('anthropic'),
  // Gemini and Ollama send whole arguments: there are none to cut.
  simulatedSubject('gemini', { has: { partialArguments: false } }),
  simulatedSubject('cohere'),
  simulatedSubject('ollama', { has: { partialArguments: false } }),
  {
    ...simulatedSubject('responses', {
      wire: 'openai',
      create: (options) => createLLM('openai', { ...options, api: 'responses' }),
    }),
  },
  simulatedSubject('genai client', {
    wire: 'gemini',
    create: ({ apiKey, baseURL, ...options }) =>
      createLLM(
        new GoogleGenAI({ apiKey: apiKey as string, httpOptions: { baseUrl: baseURL as string } }),
        options,
      ),
    has: { partialArguments: false },
  }),
  simulatedSubject('openai client', {
    wire: 'openai',
    create: ({ apiKey, baseURL, ...options }) =>
      createLLM(new OpenAI({ apiKey: apiKey as string, baseURL: baseURL as string }), options),
  }),
  simulatedSubject('anthropic client', {
    wire: 'anthropic',
    create: ({ apiKey, baseURL, ...options }) =>
      createLLM(new Anthropic({ apiKey: apiKey as string, baseURL: baseURL as string }), options),
  }),
]

for (const subject of subjects) {
  for (const { name, run } of providerContract(subject)) test(name, run)
}
