"""Where does a flow go? A profile document becomes an index, and the index gives one verdict for each destination.

May import `tunneld.model` alone: no loop, socket, file, clock or randomness. Open `document.py` for what a profile
says, then `compile.py` for how it decides, then `candidates.py` for the order of precedence.

    load_profile (document) → compile_profile (compile) → Classifier (classifier): the way of every flow
    explain · lint · diff: for people, over the same cells
    assigned (assignment), owners and changed_rules (compile): for the identity provider, the edge and a reload
"""
