// What both programs share: settings, one line per check, and a watched clock.

function setting(name) {
  const value = process.env[name];
  if (!value) {
    console.log(`FAILED ${name} is not set`);
    process.exit(1);
  }
  return value;
}

export const BASE_URL = setting('FREESIDE_BASE_URL').replace(/\/$/, '');
export const TEST_KEY = setting('FREESIDE_TEST_KEY');
export const EMPTY_KEY = setting('FREESIDE_EMPTY_KEY');
export const LIMITED_KEY = setting('FREESIDE_LIMITED_KEY');
export const MODEL = 'scripted-cheap';
// Well formed, with a checksum that cannot fit.
export const WRONG_KEY = `lf_test_aaaaaaaaaaaa_${'a'.repeat(38)}`;
export const ORDER = 'The weather? !tool get_weather {"city":"Paris"}';
export const user = (content) => [{ role: 'user', content }];

export async function check(sdk, checks) {
  for (const [name, body] of checks) {
    try {
      console.log(`ok ${sdk}: ${name}: ${await body()}`);
    } catch (error) {
      console.log(`FAILED ${sdk}: ${name}: ${error?.stack ?? error}`);
      process.exit(1);
    }
  }
}

export function expect(condition, seen) {
  if (!condition) throw new Error(`unexpected: ${JSON.stringify(seen)}`);
}

/** The error of that kind that `call` throws. */
export async function refused(kind, call) {
  let answer;
  try {
    answer = await call();
  } catch (error) {
    if (error instanceof kind) return error;
    throw error;
  }
  throw new Error(`no ${kind.name}, but ${JSON.stringify(answer)}`);
}

/** Two retries: three attempts, and before each retry the wait that the refusal named. */
export async function honoursRetryAfter(kind, ask, clientOf) {
  const told = [];
  const look = async (...request) => {
    const response = await fetch(...request);
    told.push([response.status, Number(response.headers.get('retry-after-ms'))]);
    return response;
  };
  for (let turn = 0; turn < 2; turn += 1) { // the minute's one request may be used up, or not
    try {
      await ask(clientOf(look, 0));
    } catch (error) {
      if (!(error instanceof kind)) throw error;
      break;
    }
  }
  told.length = 0;
  const waits = [];
  const real = globalThis.setTimeout;
  globalThis.setTimeout = (run, ms, ...rest) => {
    if (!told.some(([, named]) => named === ms)) return real(run, ms, ...rest);
    waits.push(ms);
    return real(run, 0, ...rest);
  };
  let error;
  try {
    error = await refused(kind, () => ask(clientOf(look, 2)));
  } finally {
    globalThis.setTimeout = real;
  }
  expect(told.length === 3 && told.every(([status]) => status === 429), told);
  expect(waits.length === 2 && waits.every((ms, index) => ms === told[index][1]), { waits, told });
  return [error, `429 after 3 attempts, told to wait ${(waits[0] / 1000).toFixed(1)} s and asked the clock for that`];
}
