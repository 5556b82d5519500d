"use strict";
// Sends the answer to the program that asked for it, as the button would.

document.getElementById("reply").submit();
