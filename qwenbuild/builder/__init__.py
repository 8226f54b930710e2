"""Carries out a plan: restores, renders, records."""
