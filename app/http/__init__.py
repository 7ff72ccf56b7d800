"""HTTP around GraphQL: who calls, health, pages, exports, and what every request and answer passes through."""
