// What every page is judged by: axe by day, its colours by night, and targets that a finger can hit.
'use strict';
const fs = require('node:fs');

const AXE = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const BY_DAY = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
// What a colour scheme can change.
const BY_NIGHT = { type: 'rule', values: ['color-contrast', 'link-in-text-block'] };
const TARGET_PX_MIN = 48;

// Looks at a page by day and by night, at a phone's width and a desk's, and calls `seen` with what is wrong at each.
async function judged(page, seen) {
  await page.addScriptTag({ content: AXE });
  for (const colorScheme of ['light', 'dark']) {
    for (const width of [320, 1280]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 800 });
      const rules = colorScheme === 'dark' ? BY_NIGHT : BY_DAY;
      const { violations } = await page.evaluate((runOnly) => globalThis.axe.run(document, { runOnly }), rules);
      const wrong = violations.map((it) => `${it.id}: ${it.nodes.map((node) => node.html.slice(0, 100)).join(' | ')}`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (wide > 0) wrong.push(`${wide} px too wide`);
      wrong.push(...await page.evaluate(smallTargets, TARGET_PX_MIN));
      await seen(wrong, colorScheme, width);
    }
  }
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
