// Anthropic's JavaScript SDK against a started server.

import { readFileSync } from 'node:fs';

import Anthropic from '@anthropic-ai/sdk';

import {
  BASE_URL, EMPTY_KEY, LIMITED_KEY, MODEL, ORDER, TEST_KEY, WRONG_KEY, check, expect, honoursRetryAfter, refused, user,
} from './checks.mjs';

const { version } = JSON.parse(readFileSync(new URL('./node_modules/@anthropic-ai/sdk/package.json', import.meta.url)));
const input_schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
const tools = [{ name: 'get_weather', input_schema }];

const client = (apiKey, more = {}) => new Anthropic({ apiKey, baseURL: BASE_URL, maxRetries: 0, ...more });
const ask = (who, text, more = {}) => who.messages.create({ model: MODEL, messages: user(text), max_tokens: 64, ...more });

await check(`anthropic-node ${version}`, [
  ['list models', async () => {
    const ids = [];
    for await (const model of client(TEST_KEY).models.list()) ids.push(model.id);
    expect(ids.includes('cheap') && ids.includes(MODEL), ids);
    return `${ids.length} models`;
  }],
  ['plain answer', async () => {
    const answer = await ask(client(TEST_KEY), 'hello !tokens 8', { system: 'Be brief.' });
    expect(answer.stop_reason === 'end_turn' && answer.usage.output_tokens === 8, answer);
    return `${answer.usage.input_tokens} + ${answer.usage.output_tokens} tokens`;
  }],
  ['streamed answer with usage', async () => {
    const stream = client(TEST_KEY).messages.stream({ model: MODEL, messages: user('hello !tokens 12'), max_tokens: 64 });
    let text = '';
    stream.on('text', (more) => { text += more; });
    const final = await stream.finalMessage();
    expect(final.content[0].text === text && text.startsWith('[scripted'), final);
    expect(final.usage.output_tokens === 12 && final.usage.input_tokens > 0, final.usage);
    return `${text.length} characters, ${final.usage.input_tokens} + ${final.usage.output_tokens} tokens`;
  }],
  ['stream that breaks', async () => {
    const error = await refused(Anthropic.APIError, async () => {
      const stream = await ask(client(TEST_KEY), 'hello !tokens 20 !error 3', { stream: true });
      for await (const event of stream) expect(event.type, event);
    });
    expect(error.message.includes('charged'), error.message);
    return error.constructor.name;
  }],
  ['tool call', async () => {
    const answer = await ask(client(TEST_KEY), ORDER, { tools, tool_choice: { type: 'auto' } });
    const call = answer.content.at(-1);
    expect(answer.stop_reason === 'tool_use' && call.name === 'get_weather' && call.input.city === 'Paris', answer);
    const stream = client(TEST_KEY).messages.stream({ model: MODEL, messages: user(ORDER), max_tokens: 64, tools });
    const final = await stream.finalMessage();
    expect(final.content.at(-1).input.city === 'Paris', final);
    return `${call.name}(${JSON.stringify(call.input)}), whole and streamed`;
  }],
  ['wrong key', async () => {
    const error = await refused(Anthropic.AuthenticationError, () => ask(client(WRONG_KEY), 'hello'));
    expect(error.status === 401 && error.error.error.type === 'authentication_error', error);
    return error.error.error.type;
  }],
  ['unknown model', async () => {
    const error = await refused(Anthropic.NotFoundError, () => ask(client(TEST_KEY), 'hello', { model: 'claude-nonexistent' }));
    return error.error.error.type;
  }],
  ['empty balance', async () => {
    const error = await refused(Anthropic.APIError, () => ask(client(EMPTY_KEY, { maxRetries: 2 }), 'hello'));
    expect(error.status === 402 && error.error.error.type === 'billing_error' && error.requestID, error);
    return '402 billing_error';
  }],
  ['over the rate limit', async () => {
    const [error, seen] = await honoursRetryAfter(
      Anthropic.RateLimitError,
      (who) => ask(who, 'hello !tokens 1'),
      (look, maxRetries) => client(LIMITED_KEY, { fetch: look, maxRetries }),
    );
    expect(error.error.error.type === 'rate_limit_error', error);
    return seen;
  }],
]);
