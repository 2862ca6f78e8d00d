"""The engine in processes of their own: what decodes recordings has no credentials, no network, and limits.

    worker                         template                       one child for each clip
    Isolated ----- "fork" ------>  imports the engine once,
                                   waits, forks  ------------->   sandbox, then prepare and render
       ^------------- job, bytes of recordings, stages, report -------v

``engine`` and ``conversation`` are the worker's side, ``template`` and ``child`` the other, ``wire`` and
``jobs`` what travels, ``results`` and ``failures`` what is believed of it, ``sandbox`` what a child gives up.
The reasons stand in docs/design/isolation.md.
"""
