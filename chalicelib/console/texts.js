/** All texts of the page. */

import { connections } from "./texts/connections.js";
import { details } from "./texts/details.js";
import { drivers } from "./texts/drivers.js";
import { flows } from "./texts/flows.js";
import { frame } from "./texts/frame.js";
import { overview } from "./texts/overview.js";

export const T = { ...frame, ...connections, ...details, ...overview, flows, drivers };
