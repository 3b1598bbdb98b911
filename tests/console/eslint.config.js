/** Rules for the JavaScript of the web page. `make check` runs them from the root of the repository. */

import js from "@eslint/js";
import globals from "globals";

export default [
  { ...js.configs.recommended, files: ["chalicelib/console/**/*.js"] },
  {
    files: ["chalicelib/console/**/*.js"],
    languageOptions: { ecmaVersion: "latest", sourceType: "module", globals: globals.browser },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "max-len": ["error", { code: 120 }],
      "max-lines-per-function": ["error", { max: 80 }],
    },
  },
];
