// The rule of ESLint that oxlint lacks: syntax that is refused, by selector.

/** @type {import('oxlint/plugins-dev').Plugin} */
const plugin = {
  meta: { name: 'local' },
  rules: {
    'no-restricted-syntax': {
      meta: { schema: false },
      create: (context) =>
        Object.fromEntries(
          context.options.map(({ selector, message }) => [selector, (node) => context.report({ node, message })]),
        ),
    },
  },
};
export default plugin;
