// What a customer has when nodes die under the pages: kill -9 in the middle, a node left alone, and its return; and how the
// last node's vault is opened from a phone.
'use strict';
const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const path = require('node:path');
const { code, looksRight } = require('./console.cjs');
const { Customer, post } = require('./customer.cjs');
const { until } = require('./gateway.cjs');

const REACH_MS = 60_000;
const PASSPHRASE = 'seven lifeboats before the storm';

// Loads a page until the node answers and the page is as wanted.
async function seen(page, address, what, isSo) {
  await until(what, REACH_MS, async () => {
    try {
      await page.goto(address);
      return await isSo();
    } catch {
      return false;
    }
  });
}

async function survival(checks, browser, gateway, pictures) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, javaScriptEnabled: false });
  const customer = new Customer(await context.newPage(), 'en');
  let ticket;
  let where;

  let vault;

  if (gateway.operators.length > 0) {
    await checks.check('a vault is made, opened by shares, and somebody who may open it', () => {
      vault = lockable(gateway.nodes[0]);
    });
  }

  await checks.check('p1: the node that took a message is killed, and another one shows it', async () => {
    await customer.visit(gateway.url(0));
    await customer.fill({ text: 'Before the kill', contact: 'jana@example.com' });
    await customer.send();
    assert.equal(await customer.heading(), customer.words.safe);
    ticket = await customer.code();
    await gateway.kill(0);
    await until('a surviving node opens the ticket', REACH_MS, async () => {
      await customer.openTicket(gateway.url(1), ticket, 'jana@example.com');
      return (await customer.page.locator('.msg').count()) === 1;
    });
    assert.deepEqual(await customer.messages(), ['Before the kill']);
  });

  await checks.check('p1: a form opened on a node that died is taken once by the others', async () => {
    gateway.start(0);
    await seen(customer.page, `${gateway.url(0)}/en/`, 'the node is back', async () => (await customer.field('text').count()) === 1);
    await customer.fill({ text: 'Across the kill', contact: 'jana@example.com' });
    const body = await customer.body();
    await gateway.kill(0);
    const first = await post(context, gateway.url(1), body);
    assert.equal(await post(context, gateway.url(2), body), first);
    await seen(customer.page, gateway.url(2) + first, 'the message is there, once', async () => {
      const messages = await customer.messages();
      return messages.length === 1 && messages[0] === body.text;
    });
  });

  await checks.check('p3: a node left alone says so, takes a message and says where it is', async () => {
    await gateway.kill(1);
    await seen(customer.page, `${gateway.url(2)}/en/`, 'the page says that its node is alone', async () =>
      (await customer.page.getByText(customer.words.alone).count()) === 1);
    await customer.fill({ text: 'While alone', contact: '+420 234 567 890' });
    await customer.send();
    assert.equal(await customer.heading(), customer.words.held);
    ticket = await customer.code();
    where = new URL(customer.page.url()).pathname;
    await customer.field('text').fill('And more');
    await customer.send();
    assert.deepEqual(await customer.messages(), ['While alone', 'And more']);
    await customer.openTicket(gateway.url(2), ticket, '234 567 890');
    assert.equal(new URL(customer.page.url()).pathname, where);
  });

  if (vault) {
    await checks.check('p3: a node that is started anew alone has its vault opened on a phone, without JavaScript', () =>
      opens(browser, gateway, vault, pictures));
  }

  await checks.check('p3: when the others are back, what it held is safely stored, once, in order, everywhere', async () => {
    gateway.start(0);
    gateway.start(1);
    for (const at of [2, 0, 1]) {
      await seen(customer.page, gateway.url(at) + where, `node ${at} has both messages safely`, async () =>
        (await customer.heading()) === customer.words.safe && (await customer.messages()).length === 2);
      assert.deepEqual(await customer.messages(), ['While alone', 'And more']);
    }
  });

  await context.close();
}

// Makes a vault, and somebody who may open it.
function lockable(node) {
  const program = process.env.LIFEBOAT || path.resolve('target/debug/lifeboat');
  const lifeboat = (words, input = '') => JSON.parse(execFileSync(program, [...words, '--json', '--config', node.config], { input }));
  lifeboat(['vault', 'init'], `${PASSPHRASE}\n`);
  lifeboat(['vault', 'add', 'stick', '--by', 'file']);
  const { kept } = lifeboat(['vault', 'add', 'people', '--by', 'shares']);
  return { operator: { name: 'night-ops', ...lifeboat(['people', 'add', 'night-ops', '--role', 'ops']) }, shares: kept };
}

// Two sheets of paper and a phone, before the only node that is left.
async function opens(browser, gateway, { operator, shares }, pictures) {
  const node = gateway.nodes[2];
  await gateway.kill(2);
  gateway.start(2);
  const context = await browser.newContext({ ignoreHTTPSErrors: true, javaScriptEnabled: false, locale: 'en-GB', viewport: { width: 360, height: 740 } });
  const page = await context.newPage();
  // Whatever keeps it from starting for a moment, it is started again, as systemd does.
  const again = setInterval(() => gateway.revive(2), 2_000);
  try {
    await seen(page, `${node.console}/sign-in`, 'the node is back', async () => (await page.locator('#code').count()) === 1);
  } finally {
    clearInterval(again);
  }
  await page.locator('#name').fill(operator.name);
  await page.locator('#password').fill(operator.password);
  await page.locator('#code').fill(code(operator.totp_secret));
  await page.locator('main form button').click();
  await seen(page, `${node.console}/`, 'the first page says that the vault is locked', async () =>
    (await page.getByRole('link', { name: 'Open the vault' }).count()) === 1);
  await page.getByRole('link', { name: 'Open the vault' }).click();
  await page.getByText('Locked on this server since').waitFor();
  const state = await context.storageState();
  // In the language with the longer words.
  await looksRight(browser, [node], { lang: 'cs', name: 'vault-locked', where: '/vault', state, pictures });
  await page.locator('#shares').fill(`${shares[0]}\n${shares[1].slice(0, -1)}`);
  await page.getByRole('button', { name: 'Open by shares' }).click();
  assert.ok((await page.locator('#wrong').innerText()).includes('Shares, number 2: found 59 symbols, wanted 60.'));
  assert.equal(await page.locator('#shares').inputValue(), '', 'what was typed comes back');
  await page.locator('#shares').fill(`${shares[0]}\n${shares[1]}`);
  await page.getByRole('button', { name: 'Open by shares' }).click();
  await page.getByText('Open on this server since').waitFor();
  assert.equal(new URL(page.url()).search, '');
  if (pictures) await page.screenshot({ path: path.join(pictures, 'vault-open.png'), fullPage: true });
  await page.goto(`${node.console}/`);
  assert.equal(await page.getByRole('link', { name: 'Open the vault' }).count(), 0);
  await context.close();
}

module.exports = { survival };
