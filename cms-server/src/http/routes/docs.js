// SPDX-License-Identifier: Apache-2.0 OR MIT
// Starts the page: Swagger UI on the description of this very server, with a search over operations.
// Nothing is loaded from elsewhere: no validator, no fonts.
const Search = ({ React }) => {
  const words = (operation) =>
    [
      operation.get("method"),
      operation.get("path"),
      operation.getIn(["operation", "operationId"]),
      operation.getIn(["operation", "summary"]),
      operation.getIn(["operation", "description"]),
    ]
      .join(" ")
      .toLowerCase();

  // Every word that was typed must occur.
  const opsFilter = (groups, typed) => {
    const wanted = typed.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (text) => wanted.every((word) => text.includes(word));
    return groups
      .map((group, name) =>
        group.update("operations", (all) => all.filter((one) => matches(`${name} ${words(one)}`))),
      )
      .filter((group) => group.get("operations").size > 0);
  };

  const FilterContainer = ({ layoutSelectors, layoutActions }) => {
    const typed = layoutSelectors.currentFilter();
    const input = React.createElement("input", {
      className: "operation-filter-input",
      type: "search",
      placeholder: "Search operations: a path, a method, words",
      "aria-label": "Search operations",
      value: typeof typed === "string" ? typed : "",
      onChange: (event) => layoutActions.updateFilter(event.target.value),
    });
    return React.createElement("div", { className: "filter-container" },
      React.createElement("section", { className: "filter wrapper block col-12" }, input));
  };

  return { fn: { opsFilter }, components: { FilterContainer } };
};

// Light or dark, as the reader's system is.
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const shade = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", shade);
shade();

window.onload = () => {
  window.ui = SwaggerUIBundle({
    url: "../openapi.json",
    dom_id: "#swagger-ui",
    deepLinking: true,
    docExpansion: "list",
    filter: true,
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    validatorUrl: "none",
    presets: [SwaggerUIBundle.presets.apis],
    plugins: [Search],
    layout: "BaseLayout",
  });
};
