// OpenAI's JavaScript SDK against a started server.

import { readFileSync } from 'node:fs';

import OpenAI from 'openai';

import {
  BASE_URL, EMPTY_KEY, LIMITED_KEY, MODEL, ORDER, TEST_KEY, WRONG_KEY, check, expect, honoursRetryAfter, refused, user,
} from './checks.mjs';

const { version } = JSON.parse(readFileSync(new URL('./node_modules/openai/package.json', import.meta.url)));
const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
const tools = [{ type: 'function', function: { name: 'get_weather', parameters } }];

const client = (apiKey, more = {}) => new OpenAI({ apiKey, baseURL: `${BASE_URL}/v1`, maxRetries: 0, ...more });
const ask = (who, text, more = {}) =>
  who.chat.completions.create({ model: MODEL, messages: user(text), max_tokens: 64, ...more });

await check(`openai-node ${version}`, [
  ['list models', async () => {
    const ids = [];
    for await (const model of client(TEST_KEY).models.list()) ids.push(model.id);
    expect(ids.includes('cheap') && ids.includes(MODEL), ids);
    expect((await client(TEST_KEY).models.retrieve('cheap')).id === 'cheap', ids);
    return `${ids.length} models`;
  }],
  ['plain answer', async () => {
    const answer = await ask(client(TEST_KEY), 'hello !tokens 8');
    expect(answer.choices[0].finish_reason === 'stop' && answer.usage.completion_tokens === 8, answer);
    return `${answer.usage.total_tokens} tokens for ${answer.x_freeside.cost_micro} micro-USD`;
  }],
  ['streamed answer with usage', async () => {
    const stream = await ask(client(TEST_KEY), 'hello !tokens 12', { stream: true, stream_options: { include_usage: true } });
    let text = '';
    let usage;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? '';
      usage = chunk.usage ?? usage;
    }
    expect(text.startsWith('[scripted') && usage.completion_tokens === 12, { text, usage });
    return `${text.length} characters, ${usage.completion_tokens} completion tokens`;
  }],
  ['stream that breaks', async () => {
    const error = await refused(OpenAI.APIError, async () => {
      const stream = await ask(client(TEST_KEY), 'hello !tokens 20 !error 3', { stream: true });
      for await (const chunk of stream) expect(chunk.object === 'chat.completion.chunk', chunk);
    });
    expect(error.message.includes('charged'), error.message);
    return `${error.constructor.name}: ${error.code}`;
  }],
  ['tool call', async () => {
    const answer = await ask(client(TEST_KEY), ORDER, { tools, tool_choice: 'auto' });
    const [call] = answer.choices[0].message.tool_calls;
    expect(answer.choices[0].finish_reason === 'tool_calls', answer);
    expect(call.function.name === 'get_weather' && call.function.arguments === '{"city":"Paris"}', call);
    const stream = client(TEST_KEY).chat.completions.stream({ model: MODEL, messages: user(ORDER), max_tokens: 64, tools });
    const final = await stream.finalChatCompletion();
    expect(final.choices[0].message.tool_calls[0].function.arguments === call.function.arguments, final);
    return `${call.function.name}(${call.function.arguments}), whole and streamed`;
  }],
  ['wrong key', async () => {
    const error = await refused(OpenAI.AuthenticationError, () => ask(client(WRONG_KEY), 'hello'));
    expect(error.status === 401 && error.code === 'invalid_api_key', error);
    return error.code;
  }],
  ['unknown model', async () => {
    const error = await refused(OpenAI.NotFoundError, () => ask(client(TEST_KEY), 'hello', { model: 'gpt-nonexistent' }));
    expect(error.code === 'model_not_found', error);
    return error.code;
  }],
  ['empty balance', async () => {
    const error = await refused(OpenAI.APIError, () => ask(client(EMPTY_KEY, { maxRetries: 2 }), 'hello'));
    expect(error.status === 402 && error.code === 'insufficient_quota' && error.requestID, error);
    return `402 ${error.code}`;
  }],
  ['over the rate limit', async () => {
    const [error, seen] = await honoursRetryAfter(
      OpenAI.RateLimitError,
      (who) => ask(who, 'hello !tokens 1'),
      (look, maxRetries) => client(LIMITED_KEY, { fetch: look, maxRetries }),
    );
    expect(error.code === 'rate_limit_exceeded', error);
    return seen;
  }],
]);
