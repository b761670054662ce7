/** The provider contract over every built-in provider. */
import OpenAI from 'openai'
import Anthropic from '@anthropic-ai/sdk'
import { GoogleGenAI } from '@google/genai'
import { GoogleGenerativeAI } from '@google/generative-ai'
import { CohereClientV2 } from 'cohere-ai'
import { Ollama } from 'ollama'
import { createLLM } from 'convoke'
import { simulatedSubject, testProvider } from 'convoke/conformance'
import type { Subject } from 'convoke/conformance'
import { test } from 'vitest'

const subjects: Subject[] = [
  simulatedSubject('openai'),
  simulatedSubject('anthropic'),
  // Gemini and Ollama send whole arguments: there are none to cut.
  simulatedSubject('gemini', { has: { partialArguments: false } }),
  simulatedSubject('cohere'),
  simulatedSubject('ollama', { has: { partialArguments: false } }),
  simulatedSubject('responses', {
    wire: 'openai',
    create: (options) => createLLM('openai', { ...options, api: 'responses' }),
  }),
  simulatedSubject('groq', { wire: 'openai' }),
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
  simulatedSubject('generative-ai client', {
    wire: 'gemini',
    // This SDK's client has no address of its own: it is the LLM's.
    create: ({ apiKey, ...options }) => createLLM(new GoogleGenerativeAI(apiKey as string), options),
    has: { partialArguments: false },
  }),
  simulatedSubject('cohere client', {
    wire: 'cohere',
    create: ({ apiKey, baseURL, ...options }) =>
      createLLM(new CohereClientV2({ token: apiKey as string, baseUrl: baseURL as string }), options),
  }),
  simulatedSubject('ollama client', {
    wire: 'ollama',
    create: ({ apiKey, baseURL, ...options }) => {
      const headers = { authorization: `Bearer ${apiKey as string}` }
      return createLLM(new Ollama({ host: baseURL as string, headers }), options)
    },
    has: { partialArguments: false },
  }),
]

for (const subject of subjects) testProvider(subject, test)
