"""Post-training of language models in JAX: WaltzRL, RLVR, preferences.

Rooms, from the ground up; each imports lower ones only:

  types, support, report   records; console, files, signals; HTML pages
  core, config, data       pure maths; keys and their rules; chat templates, packing, batches
  model, dataset           the decoder and Hugging Face files; prompt datasets on disk
  engine, training         generation by continuous batching; the one update, checkpoints
  run                      what every command shares
  judge, evaluation        who labels answers; intervals and likelihoods
  stages                   the loop, and how a step of each kind learns
  toy                      the embedded worlds and their base models
  rlvr, waltz, preference  the three systems
  recipes                  the one table of stages
  plan                     what a run will need
"""
