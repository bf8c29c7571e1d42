"""From a record to tables, figures, pages and traces."""
