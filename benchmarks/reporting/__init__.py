"""Everything that users see: panels, tables, charts and pages."""
