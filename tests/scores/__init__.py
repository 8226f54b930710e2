"""Scores of the tests: branch coverage and mutation score of the modules that touch money or bytes.

python -m tests.scores coverage                             branch coverage; fails below 100 %
python -m tests.scores mutation                             mutation score of all modules; takes hours
python -m tests.scores mutation storage.ledger              one module
python -m tests.scores mutation storage.ledger --survivors  its surviving mutants again, with the present tests
"""
