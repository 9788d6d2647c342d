// What every page is judged by: axe by day, its colours by night, and targets that a finger can hit.
'use strict';
const fs = require('node:fs');

const AXE = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const BY_DAY = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
// What a colour scheme can change.
const BY_NIGHT = { type: 'rule', values: ['color-contrast', 'link-in-text-block'] };
const TARGET_PX_MIN = 48;
const LONGER = 'cs';

// Looks at a page by day and by night, at a phone's width and a desk's, and calls `seen` with what is wrong at each.
// Colours and structure are those of the template: axe judges them in the language with the longer words, and the other
// one once, for what is said in it alone. What a language can make too wide is measured in both, everywhere.
async function judged(page, seen) {
  await page.addScriptTag({ content: AXE });
  const whole = (await page.locator('html').getAttribute('lang')) === LONGER;
  for (const colorScheme of ['light', 'dark']) {
    for (const width of [320, 1280]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 800 });
      const wrong = whole || (colorScheme === 'light' && width === 320) ? await violations(page, colorScheme) : [];
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (wide > 0) wrong.push(`${wide} px too wide`);
      wrong.push(...await page.evaluate(smallTargets, TARGET_PX_MIN));
      await seen(wrong, colorScheme, width);
    }
  }
}

async function violations(page, colorScheme) {
  const rules = colorScheme === 'dark' ? BY_NIGHT : BY_DAY;
  const found = await page.evaluate((runOnly) => globalThis.axe.run(document, { runOnly }), rules);
  return found.violations.map((it) => `${it.id}: ${it.nodes.map((node) => node.html.slice(0, 100)).join(' | ')}`);
}

// Runs in the page: what a finger could miss. A box to tick counts with its label.
function smallTargets(least) {
  return [...document.querySelectorAll('a, button, select, input:not([type=hidden]), textarea')]
    .filter((element) => !element.closest('.x, .skip') && element.checkVisibility())
    .map((element) => [element.outerHTML.slice(0, 80), (element.closest('.tick') || element).getBoundingClientRect()])
    .filter(([, box]) => box.width < least || box.height < least)
    .map(([html, box]) => `${html} ${Math.round(box.width)} x ${Math.round(box.height)}`);
}

module.exports = { judged };
