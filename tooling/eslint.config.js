// What eslint asks of the pages' JavaScript: modules for today's browsers, without a build. Run from the repository.

import js from "@eslint/js";
import { defineConfig } from "eslint/config";
import globals from "globals";

export default defineConfig([
  {
    files: ["**/*.js"],
    extends: [js.configs.recommended],
    languageOptions: { ecmaVersion: "latest", sourceType: "module", globals: globals.browser },
    rules: {
      eqeqeq: ["error", "always", { null: "ignore" }],
      "no-var": "error",
      "prefer-const": "error",
      "no-redeclare": ["error", { builtinGlobals: false }],
      "no-shadow": ["error", { builtinGlobals: false }],
      "no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-eval": "error",
      // a name says what a thing is, not that somebody found, made or gave it
      "id-denylist": ["error", "found", "said", "told", "made", "own", "given"],
    },
  },
  {
    // Orthanc Explorer's page, jQuery 1.7 and no modules
    files: ["**/explorer.js"],
    languageOptions: { sourceType: "script", globals: globals.jquery },
    rules: { "no-var": "off" },
  },
  {
    files: ["**/ohif-config.js"],
    languageOptions: { sourceType: "script" },
  },
]);
