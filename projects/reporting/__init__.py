"""How results look to people: numbers, tables, colours, figures, progress, sections of files, pages."""
