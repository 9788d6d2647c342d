// What a customer has when nodes die under the pages: kill -9 in the middle, a node left alone, and its return.
'use strict';
const assert = require('node:assert/strict');
const { Customer, post } = require('./customer.cjs');
const { until } = require('./gateway.cjs');

const REACH_MS = 60_000;

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

async function survival(checks, browser, gateway) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, javaScriptEnabled: false });
  const customer = new Customer(await context.newPage(), 'en');
  let code;
  let path;

  await checks.check('p1: the node that took a message is killed, and another one shows it', async () => {
    await customer.visit(gateway.url(0));
    await customer.fill({ text: 'Before the kill', contact: 'jana@example.com' });
    await customer.send();
    assert.equal(await customer.heading(), customer.words.safe);
    code = await customer.code();
    await gateway.kill(0);
    await until('a surviving node opens the ticket', REACH_MS, async () => {
      await customer.openTicket(gateway.url(1), code, 'jana@example.com');
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
    code = await customer.code();
    path = new URL(customer.page.url()).pathname;
    await customer.field('text').fill('And more');
    await customer.send();
    assert.deepEqual(await customer.messages(), ['While alone', 'And more']);
    await customer.openTicket(gateway.url(2), code, '234 567 890');
    assert.equal(new URL(customer.page.url()).pathname, path);
  });

  await checks.check('p3: when the others are back, what it held is safely stored, once, in order, everywhere', async () => {
    gateway.start(0);
    gateway.start(1);
    for (const at of [2, 0, 1]) {
      await seen(customer.page, gateway.url(at) + path, `node ${at} has both messages safely`, async () =>
        (await customer.heading()) === customer.words.safe && (await customer.messages()).length === 2);
      assert.deepEqual(await customer.messages(), ['While alone', 'And more']);
    }
  });

  await context.close();
}

module.exports = { survival };
