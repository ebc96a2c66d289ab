"""How the implementations are compared. Knows no framework."""
