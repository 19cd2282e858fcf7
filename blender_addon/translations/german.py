"""German. Blender's own words (pose, rig, vertex colors) as its German interface has them."""

_INTERFACE = {
    # Panels and their labels.
    "1  Backend": "1  Backend",
    "2  Photo": "2  Foto",
    "3  Body": "3  Körper",
    "4  Generate": "4  Erzeugen",
    "5  Result": "5  Ergebnis",
    "Jobs": "Aufträge",
    "Details": "Einzelheiten",
    "Advanced": "Erweitert",
    "Not connected": "Nicht verbunden",
    "Starting the backend...": "Backend startet ...",
    "Connecting...": "Verbindet ...",
    "Connected": "Verbunden",
    "Connected, warming up...": "Verbunden, läuft warm ...",
    "Connection lost, trying again...": "Verbindung verloren, neuer Versuch ...",
    "Refused": "Abgewiesen",
    "Stopping the backend...": "Backend hält an ...",
    "One person, whole figure in view.": "Eine Person, ganz im Bild.",
    "Or drop a picture into the viewport.": "Oder ein Bild in die Ansicht ziehen.",
    "Use photos that you have the right to use.": "Nur Fotos nehmen, die man nutzen darf.",
    "Person (0 = automatic)": "Person (0 = automatisch)",
    "Height (cm)": "Größe (cm)",
    "No bone changed by you": "Kein Knochen von dir geändert",
    "1 bone changed by you": "1 Knochen von dir geändert",
    "{} bones changed by you": "{} Knochen von dir geändert",
    "The pose will be estimated": "Die Pose wird geschätzt",
    "The finished character appears here": "Hier erscheint die fertige Figur",
    "Overall Size": "Gesamtgröße",
    "Hips over Shoulders": "Hüfte vor Schultern",
    "Slender Torso": "Schlanker Rumpf",
    "Narrow Hips": "Schmale Hüfte",
    "Weight": "Gewicht",
    "Vertex Colors": "Vertexfarben",
    "Character Pose": "Pose der Figur",
    "Photo Colors": "Fotofarben",
    # Stages and states of a job.
    "Sending the photo": "Foto wird gesendet",
    "Fetching the result": "Ergebnis wird geholt",
    "Getting ready": "Vorbereitung",
    "Opening the photo": "Foto wird geöffnet",
    "Finding the person": "Person wird gesucht",
    "Reading the pose": "Pose wird gelesen",
    "Telling clothes apart": "Kleidung wird unterschieden",
    "Describing the person": "Person wird beschrieben",
    "Reading the surface": "Oberfläche wird gelesen",
    "Fitting the body": "Körper wird angepasst",
    "First shape": "Erste Form",
    "Sculpting": "Formen",
    "Making the mesh": "Netz wird gebaut",
    "Painting the texture": "Textur wird gemalt",
    "Binding to the bones": "An Knochen binden",
    "Writing files": "Dateien schreiben",
    "Sending": "Sendet",
    "Waiting": "Wartet",
    "Running": "Läuft",
    "Stopping": "Hält an",
    "Done": "Fertig",
    "Failed": "Gescheitert",
    "Cancelled": "Abgebrochen",
    "before it": "davor",
    "left": "übrig",
    "{} more are waiting": "{} weitere warten",
    "Kept for": "Aufbewahrt für",
    # Why a button is grey, why a result waits.
    "The backend is still starting": "Das Backend startet noch",
    "The connection to the backend is lost; it is being tried again": (
        "Die Verbindung zum Backend ist verloren; es wird wieder versucht"
    ),
    "Start the backend first (step 1)": "Erst das Backend starten (Schritt 1)",
    "Choose a photo first (step 2)": "Erst ein Foto wählen (Schritt 2)",
    "Estimate the body first (step 3)": "Erst den Körper schätzen (Schritt 3)",
    "Generate or import a character first (step 4)": "Erst eine Figur erzeugen (Schritt 4)",
    "Leave Edit Mode first": "Erst den Bearbeitungsmodus verlassen",
    "This armature must be taken over first: press Use Armature": (
        "Diese Armatur muss erst übernommen werden: Gewählte Armatur nehmen"
    ),
    "A result waits for its own file or scene": "Ein Ergebnis wartet auf seine Datei oder Szene",
    "A result waits for the scene": "Ein Ergebnis wartet auf die Szene",
    "A result waits until you leave this mode": "Ein Ergebnis wartet, bis dieser Modus endet",
    # Properties.
    "Photo": "Foto",
    "Person": "Person",
    "Body Model": "Körpermodell",
    "Height": "Größe",
    "Quality": "Qualität",
    "Draft": "Entwurf",
    "Standard": "Standard",
    "Paper": "Veröffentlicht",
    "Unseen Sides": "Ungesehene Seiten",
    "Prompt": "Beschreibung",
    "Seed": "Zufallszahl",
    "Steps": "Schritte",
    "Triangles": "Dreiecke",
    "Texture": "Textur",
    "As Quality": "Wie Qualität",
    "Device": "Gerät",
    "Automatic": "Automatisch",
    "This Computer": "Dieser Rechner",
    "Another Computer": "Ein anderer Rechner",
    "Connection File": "Verbindungsdatei",
    "My Key File": "Meine Schlüsseldatei",
    "Connect Automatically": "Selbst verbinden",
    "Folder of humanref": "Ordner von humanref",
    "Photo of one person, whole figure in view": "Foto einer Person, ganz im Bild",
    "How tall the person is, in centimeters": "Wie groß die Person ist, in Zentimetern",
    "Same seed, same settings, same result": "Gleiche Zahl, gleiche Einstellungen, gleiches Ergebnis",
    "How much work goes into the character": "Wie viel Arbeit in die Figur geht",
    # Unseen sides.
    "What imagines the sides that the photo does not show": (
        "Was sich die Seiten ausdenkt, die das Foto nicht zeigt"
    ),
    "A diffusion model looks at the photo and paints what it hides": (
        "Ein Diffusionsmodell sieht das Foto und malt, was es verbirgt"
    ),
    "A fast baseline: the photo's colors go on to the back, without the face": (
        "Ein schneller Vergleich: die Farben des Fotos gehen auf dem Rücken weiter, ohne das Gesicht"
    ),
    "Only what the photo shows": "Nur, was das Foto zeigt",
    "Ref-SDS, No Regions": "Ref-SDS ohne Regionen",
    "To compare: any part of the body may look at any part of the photo": (
        "Zum Vergleich: jeder Körperteil darf jeden Teil des Fotos ansehen"
    ),
    "To compare: the diffusion model does not see the photo": (
        "Zum Vergleich: das Diffusionsmodell sieht das Foto nicht"
    ),
    "To compare: not seen either, and a small network learns the renders": (
        "Zum Vergleich: es sieht das Foto auch nicht, und ein kleines Netz lernt die Bilder der Figur"
    ),
    # Tooltips of the main buttons.
    "Start the compute backend on this computer, or attach to the one that runs already": (
        "Das Backend auf diesem Rechner starten, oder mit dem laufenden verbinden"
    ),
    "Find the person in the photo and lay a posable body over it": (
        "Die Person im Foto finden und einen beweglichen Körper darüberlegen"
    ),
    "Fit the body to the photo again. Bones that you have turned stay as they are": (
        "Den Körper neu an das Foto anpassen. Gedrehte Knochen bleiben, wie sie sind"
    ),
    "Make the character. You can go on working: the mesh grows in the viewport": (
        "Die Figur erzeugen. Man kann weiterarbeiten: das Netz wächst in der Ansicht"
    ),
}

_OPERATORS = {
    "Start Backend": "Backend starten",
    "Stop Backend": "Backend anhalten",
    "Connect": "Verbinden",
    "Disconnect": "Trennen",
    "Copy Log": "Protokoll kopieren",
    "Open Photo": "Foto öffnen",
    "Look Through": "Durchs Foto sehen",
    "Look Through Photo": "Durchs Foto sehen",
    "Estimate Body": "Körper schätzen",
    "Re-fit Keeping My Edits": "Neu anpassen, Änderungen behalten",
    "Use Selected Armature": "Gewählte Armatur nehmen",
    "T-Pose": "T-Pose",
    "A-Pose": "A-Pose",
    "Relaxed": "Entspannt",
    "Left to Right": "Links nach rechts",
    "Right to Left": "Rechts nach links",
    "Reset Limb": "Gliedmaße zurücksetzen",
    "Reset Shape": "Form zurücksetzen",
    "Generate": "Erzeugen",
    "Queue Another": "Noch eine einreihen",
    "Cancel": "Abbrechen",
    "Photo Pose": "Foto-Pose",
    "Texture": "Textur",
    "Vertex Colors": "Vertexfarben",
    "Bone Names": "Knochennamen",
    "Export GLB": "GLB exportieren",
    "Export FBX": "FBX exportieren",
    "Import Result": "Ergebnis importieren",
    "Delete from Backend": "Vom Backend löschen",
    "Delete Everything from Backend": "Alles vom Backend löschen",
    "Person from Photo...": "Person aus Foto ...",
    "Photo of a Person (HumanRef)": "Foto einer Person (HumanRef)",
    "Copy": "Kopieren",
    "HumanRef Problem": "HumanRef: Problem",
}

_REPORTS = {
    "Copied to the clipboard": "In die Zwischenablage kopiert",
    "The backend has written nothing yet": "Das Backend hat noch nichts geschrieben",
    "{} bones renamed": "{} Knochen umbenannt",
    "Wrote {}": "{} geschrieben",
}

GERMAN: dict[tuple[str, str], str] = {
    **{("*", english): german for english, german in (_INTERFACE | _REPORTS).items()},
    **{("Operator", english): german for english, german in _OPERATORS.items()},
}
"""(Blender's context, English) -> German."""
